import copy

import numpy as np
import pytest
import timm
import torch
from scipy.ndimage import zoom
from torch.nn import functional as F

from models.catalog import WEIGHTS
from models.components.base import StudentModel
from models.stfpm import build, distance_maps

TAG = "resnet18.tv_in1k"


def make(seed=0):
    torch.manual_seed(seed)
    return build(weights=TAG, state=None)


@pytest.fixture(scope="module")
def pristine():
    return make()


@pytest.fixture
def model(pristine):
    return copy.deepcopy(pristine)


@pytest.fixture
def images():
    return torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(8))


def train(model, images, steps=2, lr=0.1):
    optimizer = torch.optim.SGD(model.trainable_parameters(), lr, momentum=0.9)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model.loss(images)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def tensors(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def layers(model, images):
    """Unit features of teacher and student in the model's present mode, in float64."""
    entry = WEIGHTS[TAG]
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (entry.mean, entry.std))
    with torch.no_grad():
        pairs = zip(model.backbone(images), model.student((images - mean) / std), strict=True)
    for pair in pairs:
        yield [
            x / np.sqrt((x**2).sum(axis=1, keepdims=True))
            for x in (features.double().numpy() for features in pair)
        ]


def test_offers_the_interface(model):
    assert isinstance(model, StudentModel)
    assert not hasattr(model, "loss_of_features")  # features alone do not train a student


def test_one_seed_gives_equal_models(pristine):
    again, other = make(seed=0), make(seed=1)
    for name, tensor in pristine.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    assert not torch.equal(
        pristine.student.state_dict()["conv1.weight"], other.student.state_dict()["conv1.weight"]
    )


def test_student_is_the_teachers_architecture_up_to_its_third_layer(model):
    whole = dict(timm.create_model("resnet18").named_parameters())
    wanted = {n: p.shape for n, p in whole.items() if not n.startswith(("layer4", "fc"))}
    assert {n: p.shape for n, p in model.student.named_parameters()} == wanted
    assert sum(p.numel() for p in model.trainable_parameters()) == 2_782_784  # 11,689,512 whole


def test_loss_is_the_papers_formula(model, images):
    model.train()
    expected = 0.0
    for teacher, student in layers(copy.deepcopy(model), images):
        batch, _, height, width = teacher.shape
        expected += ((teacher - student) ** 2).sum() / 2 / (height * width) / batch
    assert model.loss(images).item() == pytest.approx(expected, rel=1e-5)


def test_maps_are_the_product_at_the_first_layers_grid(model, images):
    train(model, images)
    prediction = model.predict(images)["score"]
    product = np.ones((3, 16, 16))
    for teacher, student in layers(model.eval(), images):
        distance = ((teacher - student) ** 2).sum(axis=1) / 2
        product *= enlarged(distance, 16)
    expected = enlarged(product, 64)
    np.testing.assert_allclose(prediction.maps.numpy(), expected, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(prediction.scores.numpy(), expected.max(axis=(1, 2)), rtol=1e-3)


def enlarged(maps, side):
    """Bilinear enlargement by SciPy; ``nearest`` repeats the border as torch does."""
    factor = side / maps.shape[1]
    return np.stack([zoom(m, factor, order=1, mode="nearest", grid_mode=True) for m in maps])


def test_training_lowers_the_loss_and_leaves_the_teacher_alone(model, images):
    before = tensors(model.backbone)
    losses = train(model, images, steps=8)
    assert losses[-1] < 0.9 * losses[0]
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_gradient_reaches_the_student_alone(model, images):
    model.loss(images).backward()
    assert all(parameter.grad is None for parameter in model.backbone.parameters())
    with_gradient = [p for p in model.parameters() if p.grad is not None]
    assert {id(p) for p in with_gradient} == {id(p) for p in model.trainable_parameters()}


def test_features_may_be_given_and_stay_as_they_are(model, images):
    features = model.backbone(images)
    kept = [layer.clone() for layer in features]
    losses = [copy.deepcopy(model).loss(images), model.loss_beside_features(images, features)]
    assert losses[0].item() == losses[1].item()
    given = model.predict_beside_features(images, features)["score"]
    assert torch.equal(given.maps, model.predict(images)["score"].maps)
    assert all(torch.equal(a, b) for a, b in zip(features, kept, strict=True))


def test_score_does_not_depend_on_the_batch(model, images):
    train(model, images)
    together = model.predict(images)["score"].scores
    alone = torch.cat([model.predict(image[None])["score"].scores for image in images])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-4)


def test_prediction_changes_nothing_and_repeats(model, images):
    train(model, images)
    before = tensors(model)
    assert torch.equal(model.predict(images)["score"].maps, model.predict(images)["score"].maps)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_student_normalizes_by_its_batch_while_training_alone(model, images):
    model.predict(images)
    model.loss(images)
    running = model.student.state_dict()["bn1.running_mean"].clone()
    assert not torch.equal(running, torch.zeros_like(running))
    model.predict(images)
    assert torch.equal(running, model.student.state_dict()["bn1.running_mean"])


def test_runs_under_bfloat16_autocast(model, images):
    with torch.autocast("cpu", torch.bfloat16):
        loss = copy.deepcopy(model).loss(images)
        half = model.predict(images)["score"]
    loss.backward()
    assert loss.dtype == half.maps.dtype == torch.float32
    assert torch.equal(half.maps, model.predict(images)["score"].maps)
    assert loss.item() == pytest.approx(model.loss(images).item(), rel=0.02)


def test_saved_and_loaded_model_predicts_the_same(model, images, tmp_path):
    train(model, images)
    torch.save(model.checkpoint(), tmp_path / "model.pth")
    again = make(seed=1)
    again.backbone = model.backbone
    again.load_checkpoint(torch.load(tmp_path / "model.pth", weights_only=True))
    assert torch.equal(model.predict(images)["score"].maps, again.predict(images)["score"].maps)


def without(checkpoint, key):
    return {"student": {k: v for k, v in checkpoint["student"].items() if k != key}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: {"decoder": c["student"]}, "under 'student', found the keys 'decoder'"),
        (lambda c: without(c, "conv1.weight"), "lacks 'conv1.weight' and holds nothing"),
        (
            lambda c: {"student": c["student"] | {"bn1.bias": torch.zeros(9)}},
            r"holds bn1.bias of shape \(9,\) where \(64,\) is wanted",
        ),
        (
            lambda c: {"student": c["student"] | {"x": torch.zeros(9)}},
            "lacks nothing and holds 'x' beyond",
        ),
    ],
)
def test_another_models_checkpoint_is_refused(model, change, message):
    before = tensors(model)
    with pytest.raises(ValueError, match=message):
        model.load_checkpoint(change(make(seed=1).checkpoint()))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("resnet18", "Unknown weights 'resnet18'"),
        ("convnext_tiny.tv_in1k", "wanted a ResNet's weights, found convnext_tiny's"),
    ],
)
def test_weights_it_cannot_use_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        build(weights=weights, state=None)


def test_images_need_not_be_square_nor_multiples(model):
    assert model.predict(torch.rand(1, 3, 64, 90))["score"].maps.shape == (1, 64, 90)


def test_equal_features_have_no_distance(model, images):
    features = model.backbone(images)
    (nothing, *_) = distance_maps(features, features)
    assert nothing.abs().max() == 0
    (opposite, *_) = distance_maps(features, [-layer for layer in features])
    seen = F.normalize(features[0]).square().sum(1) > 0.5  # where not every channel is zero
    torch.testing.assert_close(opposite[seen], torch.full_like(opposite[seen], 2.0))
