"""CFlow against the formulas of its paper in float64 and the published numbers of parameters."""

import math

import model_driver as driver
import numpy as np
import pytest
import torch
from scipy.special import log_expit

from models.catalog import MODELS
from models.components.base import Batch
from models.flows.cflow import CONDITION, position_encoding


@pytest.fixture(scope="module")
def model():
    model = driver.make("cflow_resnet18")
    driver.train(model, driver.pictures(2, 1))
    return model.eval()


def test_position_encoding_by_its_formula():
    found = position_encoding(3, 5, torch.device("cpu"))
    wanted = np.zeros((3, 5, CONDITION))
    for row in range(3):
        for column in range(5):
            for k in range(CONDITION // 4):
                frequency = 10_000 ** (-2 * k / (CONDITION // 2))
                for start, position in ((0, column), (CONDITION // 2, row)):
                    wanted[row, column, start + 2 * k] = math.sin(position * frequency)
                    wanted[row, column, start + 2 * k + 1] = math.cos(position * frequency)
    np.testing.assert_allclose(found.numpy(), wanted.reshape(15, -1), atol=1e-5)


def test_log_likelihood_is_that_of_single_vectors(model):
    batch = driver.batch_of(model, driver.pictures(2, 2))
    found = model.log_likelihoods(batch)
    for flow, features, ours in zip(model.flows, batch.features, found, strict=True):
        _, channels, height, width = features.shape
        encoding = position_encoding(height, width, torch.device("cpu"))
        for image, row, column in ((0, 0, 0), (1, height - 1, 0), (1, 0, width - 1)):
            vector = features[image, :, row, column][None]
            latents, determinant = flow(vector, [encoding[row * width + column][None]])
            normal = torch.distributions.Normal(0, 1).log_prob(latents.double()).sum()
            wanted = (normal + determinant.double()[0]) / channels
            assert ours[image, row, column].item() == pytest.approx(wanted.item(), abs=1e-4)


def test_loss_and_map_are_log_sigmoids(model):
    batch = driver.batch_of(model, driver.pictures(2, 2))
    with torch.no_grad():
        layers = [layer.double().numpy() for layer in model.log_likelihoods(batch)]
        loss, prediction = model.loss(batch).item(), model.predict(batch)["score"]
    assert loss == pytest.approx(sum(-log_expit(layer).mean() for layer in layers), rel=1e-5)
    # Bilinear upsampling with aligned corners keeps the corners.
    corner = sum(-log_expit(layer[:, 0, 0]) for layer in layers)
    np.testing.assert_allclose(prediction.maps[:, 0, 0].numpy(), corner, rtol=1e-4)
    np.testing.assert_allclose(prediction.scores.numpy(), prediction.maps.amax((1, 2)).numpy())


def test_position_matters(model):
    features = [
        f.mean((2, 3), keepdim=True).expand_as(f)
        for f in driver.batch_of(model, driver.pictures(1, 3)).features
    ]
    for layer in model.log_likelihoods(Batch(None, features, image_size=(64, 64)))[:2]:
        assert layer.std() > 1e-4


@pytest.mark.parametrize("name", ["cflow", "cflow_resnet50"])
def test_flows_have_the_published_number_of_parameters(name):
    # Yu et al. (FastFlow), Table 2, give 81.6 M for CFlow with wide_resnet50_2.
    entry = MODELS[name]
    with torch.device("meta"):
        model = entry.load_build()(weights=entry.weights, state=None)
    assert sum(p.numel() for p in model.trainable_parameters()) / 1e6 == pytest.approx(
        81.6, abs=0.05
    )


def test_recipe_without_the_last_layer_needs_no_last_layer():
    model = driver.make("cflow_resnet18", "layers23")
    assert model.backbone.layers == (2, 3)
    assert not hasattr(model.backbone.backbone, "layer4")


def test_sources_say_that_the_rate_is_not_the_authors():
    for name in ("cflow", "cflow_resnet18", "cflow_resnet50"):
        for recipe in (MODELS[name].recipes["baseline"], MODELS[name].paper_recipe):
            assert "5 times their rate" in recipe.source
