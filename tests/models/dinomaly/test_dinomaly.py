"""Dinomaly as a whole: published sizes, the flow of tokens, maps, schedules."""

import math
from contextlib import nullcontext
from itertools import pairwise

import model_driver as driver
import numpy as np
import pytest
import scipy.ndimage
import timm
import torch
from torch.nn import functional as F

from models.catalog import MODELS
from models.components.base import Batch
from models.dinomaly.loss import easy_share
from models.dinomaly.model import build

NAME = "dinomaly_small_392"
SIDES = (224, 392, 448)


@pytest.fixture(scope="module")
def model():
    return driver.make(NAME).eval()


def features_of(model, images):
    return model.backbone(images)


@pytest.mark.parametrize(
    ("encoder", "millions"),
    # Table "ViT architectures" of the paper. The table has 275.3 M parameters and 413.5 G
    # operations for ViT-Large: they are swapped, as the sum of its layers shows.
    [("small", 37.4), ("base", 148.0), ("large", 413.5)],
)
def test_parameters_are_the_papers(encoder, millions):
    with torch.device("meta"):
        model = driver.make(f"dinomaly_{encoder}_392", encoder_options={})
        whole = timm.create_model(f"vit_{encoder}_patch14_reg4_dinov2")
    trained = sum(parameter.numel() for parameter in model.trainable_parameters())
    count = trained + sum(parameter.numel() for parameter in whole.parameters())
    assert round(count / 1e6, 1) == millions


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("encoder", ["small", "base", "large"])
def test_published_sizes_have_the_papers_shapes(encoder, side, monkeypatch):
    # There is no autocast on the meta device.
    monkeypatch.setattr(torch, "autocast", lambda *args, **options: nullcontext())
    entry = MODELS[f"dinomaly_{encoder}_{side}"]
    assert (entry.crop or entry.image_size) == side
    with torch.device("meta"):
        model = driver.make(entry.name, encoder_options={})
        features = model.backbone(torch.zeros(2, 3, side, side))
        targets, outputs = model.reconstruct(features)
    width = {"small": 384, "base": 768, "large": 1024}[encoder]
    assert [tuple(layer.shape) for layer in features] == [(2, width, 5 + (side // 14) ** 2, 1)] * 8
    wanted = [(2, (side // 14) ** 2, width)] * 2
    assert [tuple(group.shape) for group in targets] == wanted
    assert [tuple(group.shape) for group in outputs] == wanted
    heads = {"small": 6, "base": 12, "large": 16}[encoder]
    assert {block.attn.heads for block in model.decoder} == {heads}
    assert model.backbone.layers == entry.layers


def test_groups_are_means_of_four_layers_and_the_decoder_is_reversed(model):
    features = features_of(model, driver.pictures(2, 1, (56, 56)))
    targets, outputs = model.reconstruct(features)
    layers = [layer[..., 0].transpose(1, 2) for layer in features]
    tokens = sum(layers) / 8
    tokens = model.bottleneck(tokens)
    decoded = []
    for block in model.decoder:
        tokens = block(tokens)
        decoded.append(tokens)
    # Blocks 4 to 7 of the decoder reconstruct the four shallow layers.
    for group, (shallow, first) in enumerate(((layers[:4], 4), (layers[4:], 0))):
        torch.testing.assert_close(targets[group], (sum(shallow) / 4)[:, 5:])
        wanted = sum(decoded[first : first + 4]) / 4
        torch.testing.assert_close(outputs[group], wanted[:, 5:])


def test_recentered_targets_are_relative_to_the_class_token():
    plain = driver.make(NAME).eval()
    recentered = driver.make(NAME, "recentered").eval()
    features = features_of(plain, driver.pictures(2, 1, (56, 56)))
    targets, outputs = recentered.reconstruct(features)
    layers = [layer[..., 0].transpose(1, 2).double() for layer in features]
    for group, first in enumerate((0, 4)):
        mean = sum(layers[first : first + 4]) / 4
        patches = mean[:, 5:] - mean[:, :1]
        centered = patches - patches.mean(-1, keepdim=True)
        wanted = centered / (centered.square().mean(-1, keepdim=True) + 1e-8).sqrt()
        torch.testing.assert_close(targets[group].double(), wanted, rtol=1e-4, atol=1e-4)
    for found, same in zip(outputs, plain.reconstruct(features)[1], strict=True):
        assert torch.equal(found, same)


def test_map_is_resized_to_256_and_blurred_and_the_score_is_its_top_percent(model):
    """The blur by SciPy in float64, the rest by the official code's description."""
    images = driver.pictures(2, 3, (70, 56))
    with torch.inference_mode():
        targets, outputs = model.reconstruct(features_of(model, images))
        found = driver.predict(model, images)["score"]
    cosines = [F.cosine_similarity(t, o, dim=2) for t, o in zip(targets, outputs, strict=True)]
    points = (1 - sum(cosines) / 2).reshape(2, 1, 5, 4)
    large = F.interpolate(points, (70, 56), mode="bilinear", align_corners=True)
    large = F.interpolate(large, (256, 256), mode="bilinear", align_corners=False)[:, 0]
    kernel = np.exp(-0.5 * (np.arange(-2, 3) / 4.0) ** 2)
    kernel /= kernel.sum()
    for row, image in enumerate(large.double().numpy()):
        blurred = scipy.ndimage.convolve(image, np.outer(kernel, kernel), mode="constant")
        top = np.sort(blurred.ravel())[-655:]  # 1 % of 65,536
        assert found.scores[row].item() == pytest.approx(top.mean(), rel=1e-5)
        back = torch.tensor(blurred)[None, None]
        back = F.interpolate(back, (70, 56), mode="bilinear", align_corners=False)[0, 0]
        torch.testing.assert_close(found.maps[row].double(), back, rtol=1e-4, atol=1e-5)


def test_dropout_is_the_only_noise_and_stops_with_training(model):
    features = features_of(model, driver.pictures(2, 4, (56, 56)))
    batch = Batch(None, features, image_size=(56, 56))
    assert torch.equal(model.loss(batch), model.loss(batch))
    model.train()
    assert not torch.equal(model.loss(batch), model.loss(batch))
    model.eval()


def test_dropout_rate_is_an_option():
    assert driver.make(NAME).bottleneck.dropout.p == 0.2
    assert driver.make(NAME, dropout=0.4).bottleneck.dropout.p == 0.4


@pytest.mark.parametrize(
    ("step", "share"), [(0, 0.0), (1, 0.0009), (500, 0.45), (1000, 0.9), (80_000, 0.9)]
)
def test_mining_goes_by_the_step(step, share):
    assert easy_share(step) == pytest.approx(share)


def test_loss_mines_by_the_batchs_step(model):
    """The value does not depend on the step, the gradient does."""
    features = features_of(model, driver.pictures(2, 4, (56, 56)))
    gradients, losses = [], []
    for step in (0, 1000):
        model.zero_grad()
        loss = model.loss(Batch(None, features, image_size=(56, 56), step=step, steps=2000))
        loss.backward()
        losses.append(loss.item())
        gradients.append(model.decoder[0].mlp.fc2.weight.grad.norm().item())
    assert losses[0] == losses[1]
    assert gradients[1] < 0.9 * gradients[0]


def test_learning_rate_warms_up_and_anneals_per_step():
    from bench.run.training.optimization import learning_rate_factor

    recipe = MODELS[NAME].paper_recipe
    steps = recipe.images // recipe.batch_size
    assert steps == 5000
    rates = [recipe.lr * learning_rate_factor(step, steps, recipe) for step in range(steps)]
    assert rates[0] < 2e-5
    assert all(a < b for a, b in pairwise(rates[:101]))
    assert max(rates) == pytest.approx(2e-3)
    middle = 2e-4 + 0.5 * (2e-3 - 2e-4) * (1 + math.cos(math.pi * 2450 / 4900))
    assert rates[100 + 2450] == pytest.approx(middle)
    assert rates[-1] == pytest.approx(2e-4, rel=1e-3)


def test_unknown_weights_are_refused():
    with pytest.raises(ValueError, match="Unknown weights 'vit_huge'"):
        build(weights="vit_huge", state=None)
