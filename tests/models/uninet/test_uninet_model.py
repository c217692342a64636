"""UniNet's networks: sizes, which teacher meets which student, rates of the optimizer."""

import model_driver as driver
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import models.uninet.model
from bench.protocol import PROFILES, resolve
from models.catalog import MODELS
from models.uninet.model import build

NAME = "uninet_resnet18"


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameters_are_the_official_codes_less_what_it_never_calls():
    with torch.device("meta"):
        model = build(weights=MODELS["uninet"].weights, state=None)
    assert count(model.target) == 24_862_528
    # A fourth fusion (4,096 → 2,048 channels, 1×1, with BatchNorm) and three BatchNorms of 1,024.
    unused = 4096 * 2048 + 2 * 2048 + 3 * 2 * 1024
    assert count(model.bottleneck) == 78_821_376 - unused
    assert count(model.student) == 24_917_761 - 257  # a linear layer of a classifier
    assert count(model.selection) == 256 + 512 + 1024


@pytest.mark.parametrize(("name", "wanted"), [("uninet", 2), (NAME, 2), ("uninet_multiclass", 0.1)])
@pytest.mark.parametrize("profile", ["paper", "original"])
def test_temperature_is_the_papers(name, wanted, profile):
    entry = MODELS[name]
    options = resolve(entry, "baseline", PROFILES[profile]).options
    with torch.device("meta"):
        assert build(weights=entry.weights, state=None, **options)._temperature == wanted


@pytest.fixture(scope="module")
def model():
    return driver.make(NAME)


@pytest.fixture(scope="module")
def images():
    return driver.pictures(2, 3)


def test_teachers_start_equal(model, images):
    batch = driver.batch_of(model, images)
    normalized = (images - model.backbone.mean) / model.backbone.std
    with driver.evaluation(model):
        target = model.target(normalized)
    for ours, theirs in zip(target, batch.features, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_each_teacher_meets_what_is_decoded_from_the_other(model, images):
    model = driver.make(NAME)
    for parameter in model.target.parameters():  # so that the teachers differ
        parameter.data *= 1.05
    batch = driver.batch_of(model, images)
    with driver.evaluation(model):
        (source, of_target), (target, of_source) = model._pairs(batch)
        assert all(ours is theirs for ours, theirs in zip(source, batch.features, strict=True))
        for teacher, decoded in ((target, of_target), (source, of_source)):
            wanted = model.student(model.bottleneck(teacher))
            for ours, theirs in zip(decoded, wanted, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
        assert not torch.allclose(of_target[0], of_source[0], rtol=1e-3)


def test_map_is_the_blurred_sum_of_distances(model, images):
    batch = driver.batch_of(model, images)
    with driver.evaluation(model):
        prediction = model.predict(batch)["score"]
        pairs = model._pairs(batch)
    expected = np.zeros((2, 64, 64))
    for teacher, student in pairs:
        for t, s in zip(teacher, student, strict=True):
            distance = 1 - torch.cosine_similarity(t.double(), s.double())
            large = torch.nn.functional.interpolate(
                distance[:, None], (64, 64), mode="bilinear", align_corners=True
            )
            expected += large[:, 0].numpy()
    expected = np.stack([gaussian_filter(image, 4) for image in expected])
    np.testing.assert_allclose(prediction.maps.numpy(), expected, atol=1e-5)


def test_groups_hold_every_trainable_parameter_once(model):
    groups = dict(model.parameter_groups())
    assert set(groups) == {1.0, 1e-6 / 5e-3}
    grouped = [parameter for group in groups.values() for parameter in group]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == set(model.trainable_parameters())
    assert set(groups[1e-6 / 5e-3]) == set(model.target.parameters())


def test_the_official_exceptions_for_transistor_are_named_as_left_out():
    for name in ("uninet", NAME):
        for recipe in (MODELS[name].recipes["baseline"], MODELS[name].paper_recipe):
            assert "without its exceptions for transistor" in recipe.source
    assert "1e-4" in models.uninet.model.__doc__


def test_sides_must_be_multiples_of_32(model):
    with pytest.raises(ValueError, match="multiple of 32"):
        driver.predict(model, driver.pictures(1, 3, (48, 64)))


def test_other_families_weights_are_refused():
    with pytest.raises(ValueError, match="ResNet"):
        build(weights="convnext_tiny.tv_in1k", state=None)
    with pytest.raises(ValueError, match="Unknown weights"):
        build(weights="resnet19", state=None)
