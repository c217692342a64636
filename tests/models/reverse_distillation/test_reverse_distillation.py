import numpy as np
import pytest
import torch
from model_driver import batch_of, train
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F

from models.catalog import MODELS
from models.reverse_distillation.model import build


def make(name="rd_resnet18", seed=0, loss="per_pixel", gradient_checkpointing=False):
    torch.manual_seed(seed)
    entry = MODELS[name]
    return build(
        weights=entry.weights,
        state=None,
        loss=loss,
        gradient_checkpointing=gradient_checkpointing,
        **entry.options,
    )


@pytest.fixture(scope="module")
def pristine():
    return make()


def test_gradient_reaches_every_layer_that_is_called(model, images):
    model.loss(batch_of(model, images)).backward()
    trained = dict(model.bottleneck.named_parameters()) | dict(model.decoder.named_parameters())
    untouched = {name for name, p in trained.items() if p.grad is None}
    assert untouched == {"conv4.weight", "bn4.weight", "bn4.bias"}  # dead in the official code


def test_prediction_is_the_formula(model, images):
    train(model, images)
    predictions = model(images)
    with torch.no_grad():
        teacher = model.eval().backbone(images)
        student = model.student(teacher)
    scales = []
    for t, s in zip(teacher, student, strict=True):
        t, s = t.double(), s.double()
        cosine = (t * s).sum(1) / (t.square().sum(1).sqrt() * s.square().sum(1).sqrt())
        large = F.interpolate(1 - cosine[:, None], (64, 64), mode="bilinear", align_corners=True)
        scales.append(np.stack([gaussian_filter(m, sigma=4) for m in large[:, 0].numpy()]))
    assert list(predictions) == ["multi_scale", "single_scale"]
    for head, expected in (("single_scale", scales[-1]), ("multi_scale", sum(scales))):
        np.testing.assert_allclose(predictions[head].maps.numpy(), expected, atol=1e-5)
        np.testing.assert_allclose(
            predictions[head].scores.numpy(), expected.max(axis=(1, 2)), atol=1e-5
        )


@pytest.mark.parametrize("name", ["rd_resnet18", "rd_convnext"])
def test_gradient_checkpointing_changes_memory_alone(name):
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(8))
    plain = make(name)
    saving = make(name, gradient_checkpointing=True)
    kept = []
    for model in (plain, saving):
        tally = [0]

        def pack(tensor, tally=tally):
            tally[0] += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = model.loss(batch_of(model, images))
        kept.append(tally[0])
        loss.backward()
    assert kept[1] < 0.6 * kept[0]
    for ours, theirs in zip(
        saving.trainable_parameters(), plain.trainable_parameters(), strict=True
    ):
        assert (ours.grad is None) == (theirs.grad is None)
        if ours.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad)
    for name, tensor in plain.state_dict().items():  # running statistics among them
        torch.testing.assert_close(saving.state_dict()[name], tensor)


def test_sides_must_be_multiples_of_32(model):
    with pytest.raises(ValueError, match="multiple of 32 pixels, found 64×100"):
        model(torch.rand(1, 3, 64, 100))


def test_images_need_not_be_square(model):
    assert model(torch.rand(1, 3, 64, 96))["single_scale"].maps.shape == (1, 64, 96)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": "resnet18"}, "Unknown weights 'resnet18'"),
        ({"loss": "mse"}, "Unknown loss 'mse'"),
        ({"student": "convnext"}, "no student 'convnext' for the teacher resnet18"),
    ],
)
def test_unknown_names_are_refused(change, message):
    names = {"weights": "resnet18.tv_in1k", "loss": "per_pixel", "student": "resnet"} | change
    with pytest.raises(ValueError, match=message):
        build(state=None, gradient_checkpointing=False, **names)
