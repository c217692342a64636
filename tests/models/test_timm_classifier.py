"""Classifiers: published sizes, position embeddings, weights that do and do not fit."""

import pytest
import timm
import torch
from torch.nn import functional

from models.catalog import MODELS
from models.components.weights import load_state, resolve
from models.timm_classifier import build


def classifier(name, *, classes=10, image_size=32, state=None, label_smoothing=0.0):
    entry = MODELS[name]
    return build(
        weights=entry.weights,
        state=state,
        classes=classes,
        image_size=image_size,
        label_smoothing=label_smoothing,
        **entry.options,
    )


@pytest.mark.parametrize(
    ("name", "classes", "image_size", "parameters"),
    [  # as the original study logged them
        ("resnet50", 100, 32, 23_712_932),
        ("resnet50", 200, 64, 23_917_832),
        ("vit_small_patch16_224", 100, 32, 21_630_436),
        ("vit_small_patch16_224", 200, 64, 21_673_544),
    ],
)
def test_parameter_counts_are_the_originals(name, classes, image_size, parameters):
    with torch.device("meta"):
        model = classifier(name, classes=classes, image_size=image_size)
    assert sum(p.numel() for p in model.trainable_parameters()) == parameters


def test_weights_load_but_for_the_head_and_positions_are_resampled():
    torch.manual_seed(0)
    published = timm.create_model("deit_tiny_patch16_224", num_classes=1000).state_dict()
    model = classifier("deit_tiny_patch16_224", image_size=64, state=published)
    own = model.network.state_dict()
    assert own["head.weight"].shape == (10, 192)
    torch.testing.assert_close(
        own["blocks.3.attn.qkv.weight"], published["blocks.3.attn.qkv.weight"]
    )
    grid = published["pos_embed"][:, 1:].reshape(1, 14, 14, 192).permute(0, 3, 1, 2)
    smaller = functional.interpolate(grid, size=(4, 4), mode="bicubic", antialias=True)
    expected = smaller.permute(0, 2, 3, 1).reshape(1, 16, 192)
    torch.testing.assert_close(own["pos_embed"][:, 1:], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(own["pos_embed"][:, :1], published["pos_embed"][:, :1])


def test_classifier_matches_timm_with_explicit_normalization():
    torch.manual_seed(0)
    reference = timm.create_model("resnet18", num_classes=10).eval()
    model = classifier("resnet18").eval()
    model.network.load_state_dict(reference.state_dict())
    images = torch.rand(3, 3, 32, 32)
    mean, std = (
        torch.tensor(v).view(1, 3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    )
    with torch.inference_mode():
        torch.testing.assert_close(model(images), reference((images - mean) / std))
        head = model.network.get_classifier()
        torch.testing.assert_close(head(model.features(images)), model(images))


def test_the_loss_is_cross_entropy_to_labels_and_to_mixtures():
    torch.manual_seed(0)
    model = classifier("resnet18", label_smoothing=0.1).train()  # as the loss is taken
    images, labels = torch.rand(4, 3, 32, 32), torch.tensor([0, 3, 9, 3])
    logits = model(images).double()
    smooth = functional.one_hot(labels, 10) * 0.9 + 0.1 / 10
    expected = -(smooth * logits.log_softmax(1)).sum(1).mean()
    assert model.loss(images, labels).item() == pytest.approx(expected.item(), rel=1e-5)
    mixture = 0.3 * functional.one_hot(labels, 10) + 0.7 * functional.one_hot(labels.flip(0), 10)
    both = 0.3 * model.loss(images, labels) + 0.7 * model.loss(images, labels.flip(0))
    assert model.loss(images, mixture.float()).item() == pytest.approx(both.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: state.pop("layer1.0.conv1.weight"),
            "missing, .* layer1.0.conv1.weight",
        ),
        (lambda state: state.update(extra=torch.zeros(1)), "no layer of it, such as extra"),
        (
            lambda state: state.update(conv1=state.pop("conv1.weight")),
            "no layer of it, .* conv1",
        ),
        (
            lambda state: state.update({"conv1.weight": torch.zeros(64, 1, 7, 7)}),
            r"conv1.weight is \(64, 1, 7, 7\) where \(64, 3, 7, 7\)",
        ),
    ],
)
def test_weights_of_another_network_are_refused_by_name(change, message):
    state = timm.create_model("resnet18").state_dict()
    change(state)
    with pytest.raises(ValueError, match=message):
        classifier("resnet18", state=state)


def test_checkpoint_round_trips_and_foreign_one_is_refused():
    torch.manual_seed(0)
    first, second = classifier("resnet18"), classifier("resnet18")
    second.load_checkpoint(first.checkpoint())
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(first.eval()(images), second.eval()(images))
    with pytest.raises(ValueError, match=r"fc.weight is \(10, 512\)"):
        classifier("resnet18", classes=11).load_checkpoint(first.checkpoint())


@pytest.mark.real_data
def test_real_weights_load_whole(real_data):
    resolved = resolve("deit_tiny_patch16_224.fb_in1k", (real_data / "weights",))
    state = load_state(resolved)
    model = classifier("deit_tiny_patch16_224", image_size=224, state=state)
    body = model.network.state_dict()
    assert all(
        torch.equal(body[name], tensor.float())
        for name, tensor in state.items()
        if not name.startswith("head")
    )
