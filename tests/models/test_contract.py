"""The contract of `models.components.base`, for every anomaly model in the catalog.

A model is tested here the moment it is registered. Models are random and images are small.
"""

import copy
import io
import os
import re
from dataclasses import replace
from functools import lru_cache

import model_driver as driver
import pytest
import torch
from torch.utils._pytree import tree_leaves

from bench.run.measure.flops import numbers_kept
from datasets_lib.augment.random_streams import RandomStreams
from models.catalog import MODELS
from models.components.base import AnomalyModel, ModelContractError

# These share their class with a smaller sibling; the variable has them tested like every other
# model, which takes another ten minutes of one core.
WITH_SIBLINGS = bool(os.environ.get("PROVING_GROUND_TEST_SIBLINGS"))
HEAVY = {name for name, entry in MODELS.items() if "wide_resnet50" in (entry.weights or "")} | {
    "rd_resnet50",
    "rd_convnext_adapted",
    "rd_convnext_cnblock",
    "efficientad_medium",
    "patchcore_320",
    "stfpm",
    "fre",
    "dfm",
    "dfkde",
    "cflow_resnet50",
    "fastflow_resnet50",
    "uflow_resnet50",
    "csflow_768",
    # When shrunk, these differ only in the sizes of images.
    *(f"dinomaly_{encoder}_{side}" for encoder in ("small", "base") for side in (224, 392, 448)),
    *("dinomaly_large_224", "dinomaly_large_448"),
}
# Its networks cannot be shrunk: about a minute of CPU time in all.
SLOW = {"efficientad_small"}
NAMES = [
    pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name
    for name, entry in MODELS.items()
    if entry.task == "anomaly" and (WITH_SIBLINGS or name not in HEAVY)
]


def variants():
    """Return ``MODEL.RECIPE`` for each class, options and loss that no baseline has."""
    found = {}
    for name in sorted(MODELS.keys() - HEAVY, key=lambda name: ("resnet18" not in name, name)):
        entry = MODELS[name]
        for recipe, own in entry.recipes.items() if entry.task == "anomaly" else ():
            place = str(entry.build), repr(own.options), own.loss
            usual = entry.recipes["baseline"]
            if (own.options, own.loss) != (usual.options, usual.loss):
                found.setdefault(place, f"{name}.{recipe}")
    return sorted(found.values())


VARIANTS = variants()
# EfficientAD surrounds its maps with a border of zeros, the 0.9 quantile of held-out images. At 64
# pixels the 64 positions inside it can all lie below: images tie at 0 (efficientad_medium did).
SIDES = {"efficientad_small": 96, "efficientad_medium": 96}
# The five components of six images span nothing else: test images fall into their middle, where the
# densities of dfkde_resnet18 differ by 1e-5.
TRAINING_IMAGES = {"dfkde": 24, "dfkde_resnet18": 24}
# Barely trained, their probabilities differ by 1e-6 between images of one brightness.
OF_UNLIKE_BRIGHTNESS = {"draem", "draem_plain", "dsr"}
# After two steps, they give two of three images the same score on a CPU with AVX-512; after eight,
# scores differ by 2e-5.
STEPS = {"draem": 8, "draem_plain": 8}


def pictures(name, count, seed):
    return driver.pictures(count, seed, (SIDES.get(name, driver.SIDE),) * 2)


def training(name):
    return pictures(name, TRAINING_IMAGES.get(name, 6), 1)


@pytest.fixture(params=NAMES, scope="module")  # tests are grouped by model
def name(request):
    return request.param


@lru_cache(maxsize=1)
def _fitted(name):
    return fit(driver.make(name), name)


@pytest.fixture
def images(name):
    images = pictures(name, 3, 2)
    if name in OF_UNLIKE_BRIGHTNESS:
        images *= torch.tensor([0.1, 0.5, 1.0]).view(3, 1, 1, 1)
    return images


@pytest.fixture
def fitted(name):
    """A fitted model that the test may change."""
    model = copy.deepcopy(_fitted(name))
    torch.manual_seed(11)
    return model


def fit(model, name, seed=5):
    torch.manual_seed(seed)
    held_out = pictures(name, 3, 4) if MODELS[name].holds_out else None
    images = training(name)
    fields = driver.training_fields(name, images[:2])
    return driver.fit(model, images, held_out=held_out, steps=STEPS.get(name, 2), **fields)


def assert_equal(found, wanted):
    assert list(found) == list(wanted)
    for head, prediction in wanted.items():
        assert torch.equal(found[head].scores, prediction.scores), head
        assert (found[head].maps is None) == (prediction.maps is None)
        if prediction.maps is not None:
            assert torch.equal(found[head].maps, prediction.maps), head


def assert_untouched(module, before):
    for key, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[key]), key


def saved(checkpoint):
    file = io.BytesIO()
    torch.save(checkpoint, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def unfitted(model, name, seed=3, recipe="baseline"):
    """Another random model with the same frozen parts, which checkpoints leave out."""
    other = driver.make(name, recipe, seed=seed)
    for part in model.frozen_parts:
        setattr(other, part, getattr(model, part))
    return other


def test_predicts_the_declared_heads(name, fitted, images):
    check_heads(name, fitted, images)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(HEAVY))
def test_larger_sibling_is_fitted_saved_and_predicts_its_heads(name):
    check_fit_and_checkpoint(name, "baseline")


@pytest.mark.parametrize("variant", VARIANTS)
def test_variant_is_fitted_saved_and_predicts_its_heads(variant):
    check_fit_and_checkpoint(*variant.split("."))


def check_fit_and_checkpoint(name, recipe):
    """Fit, predict, and load the checkpoint into another model, which predicts the same."""
    model, images = fit(driver.make(name, recipe), name), pictures(name, 3, 2)
    check_heads(name, model, images)
    other = unfitted(model, name, recipe=recipe)
    other.load_checkpoint(saved(model.checkpoint()))
    assert_equal(driver.predict(other, images), driver.predict(model, images))


def check_heads(name, fitted, images):
    """Predict, and check that heads, shapes and types are what the entry declares."""
    assert isinstance(fitted, AnomalyModel)
    assert fitted.uses_gradients or fitted.gathers_statistics
    predictions = driver.predict(fitted, images)
    assert sorted(predictions) == sorted(MODELS[name].heads)
    for prediction in predictions.values():
        assert prediction.scores.shape == (3,)
        assert prediction.scores.dtype == torch.float32
        assert prediction.scores.isfinite().all()
        assert len(prediction.scores.unique()) == 3
        if prediction.maps is not None:
            assert prediction.maps.shape == (3, *images.shape[-2:])
            assert prediction.maps.dtype == torch.float32
            assert prediction.maps.isfinite().all()


def test_scores_do_not_depend_on_batch_companions(fitted, images):
    together = driver.predict(fitted, images)
    alone = [driver.predict(fitted, image[None]) for image in images]
    for head, prediction in together.items():
        spread = prediction.scores.max() - prediction.scores.min()
        scores = torch.cat([one[head].scores for one in alone])
        assert (scores - prediction.scores).abs().max() < 1e-3 * spread
        if prediction.maps is not None:
            maps = torch.cat([one[head].maps for one in alone])
            torch.testing.assert_close(prediction.maps, maps, rtol=1e-3, atol=1e-4)


def test_only_models_without_randomness_repeat_under_another_seed(name, fitted, images):
    other = fit(unfitted(fitted, name, seed=7), name, seed=8)
    before, after = (driver.predict(model, images) for model in (fitted, other))
    same = all(torch.equal(after[head].scores, p.scores) for head, p in before.items())
    assert same == (MODELS[name].randomness == "none")


def test_prediction_repeats_and_no_method_changes_the_batch(name, fitted, images):
    batch = driver.batch_of(fitted, images)
    # It shares images and features, as training shares cached features with every other step.
    training_batch = replace(batch, **driver.training_fields(name, images))
    original = copy.deepcopy(training_batch)
    if fitted.uses_gradients:
        copy.deepcopy(fitted).train().loss(training_batch)
    before = driver.tensors(fitted)
    with driver.evaluation(fitted):
        assert_equal(fitted.predict(batch), fitted.predict(batch))
        assert_untouched(fitted, before)
        if fitted.gathers_statistics:
            fitted.update(batch)
            fitted.compute()
    after, wanted = (tree_leaves(vars(each)) for each in (training_batch, original))
    for ours, copied in zip(after, wanted, strict=True):
        assert torch.equal(ours, copied) if torch.is_tensor(ours) else ours == copied


def test_features_are_enough_where_the_model_says_so(name, fitted, images):
    batch = driver.batch_of(fitted, images, **driver.training_fields(name, images))
    features_alone = replace(batch, images=None, image_size=batch.size)
    with driver.evaluation(fitted):
        if not fitted.features_only:
            with pytest.raises(ModelContractError, match="images"):
                fitted.predict(features_alone)
            return
        assert_equal(fitted.predict(features_alone), fitted.predict(batch))
    if fitted.uses_gradients:
        assert loss_of(fitted, features_alone) == loss_of(fitted, batch)
    if fitted.gathers_statistics:
        with driver.evaluation(fitted):
            fitted.update(features_alone)


def loss_of(model, batch, seed=7):
    """The loss in training mode, on a copy of the model."""
    torch.manual_seed(seed)
    return copy.deepcopy(model).train().loss(batch).item()


def test_a_loss_draws_all_its_noise_from_the_samples_own_streams(name, fitted, images, monkeypatch):
    if not fitted.uses_gradients:
        pytest.skip("gathers statistics alone")
    monkeypatch.setattr("models.efficientad.autoencoder._DROPOUT", 0.0)
    if any(isinstance(part, torch.nn.Dropout) and part.p for part in fitted.modules()):
        pytest.skip("dropout is drawn from the global generator")
    streams = RandomStreams(torch.arange(len(images)), seed=3)
    fields = driver.training_fields(name, images)
    batch = driver.batch_of(fitted, images, draws=streams, **fields)
    assert loss_of(fitted, batch, seed=1) == loss_of(fitted, batch, seed=2)


def test_statistics_of_another_size_replace_those_before(name, fitted):
    if not fitted.gathers_statistics or fitted.uses_gradients:
        pytest.skip("does not gather statistics alone")
    images = driver.pictures(TRAINING_IMAGES.get(name, 6), 1, (96, 64))
    found = []
    for model in (fitted, unfitted(fitted, name, seed=0)):
        torch.manual_seed(4)
        found.append(driver.predict(driver.gather(model, images), images[:3]))
    assert_equal(*found)


def test_calling_the_model_predicts_images(fitted, images):
    expected = driver.predict(fitted, images)
    fitted.train()
    with torch.autocast("cpu", torch.bfloat16):
        assert_equal(fitted(images), expected)


def test_checkpoint_round_trip_is_bit_equal(name, fitted, images):
    checkpoint = saved(fitted.checkpoint())
    other = unfitted(fitted, name)
    other.load_checkpoint(checkpoint)
    assert_equal(driver.predict(other, images), driver.predict(fitted, images))
    if not fitted.uses_gradients:  # resuming the others' training has its own test
        again = driver.predict(fit(other, name), images)
        assert_equal(again, driver.predict(fit(fitted, name), images))


def test_numbers_kept_are_all_those_of_the_saved_checkpoint(fitted):
    checkpoint = fitted.checkpoint()
    leaves = tree_leaves(saved(checkpoint))
    assert numbers_kept(checkpoint) == sum(leaf.numel() for leaf in leaves if torch.is_tensor(leaf))
    assert numbers_kept(checkpoint) > 0  # every model of the zoo keeps something


def test_training_resumes_from_a_checkpoint(name, fitted):
    if not fitted.uses_gradients:
        pytest.skip("gathers statistics alone")
    model = driver.make(name)
    if model.gathers_statistics:
        driver.gather(model, training(name))
    first, second = training(name)[:2], training(name)[2:4]
    driver.train(model, first, steps=2, **driver.training_fields(name, first))
    resumed = unfitted(model, name)
    resumed.load_checkpoint(saved(model.checkpoint()))
    losses = []
    for each in (model, resumed):
        torch.manual_seed(8)
        fields = driver.training_fields(name, second)
        losses.append(driver.train(each, second, steps=2, **fields))
    assert losses[0] == losses[1]


@pytest.mark.parametrize("damage", ["missing", "unknown", "reshaped", "no tensor", "another's"])
def test_foreign_checkpoint_is_refused_and_changes_nothing(fitted, damage):
    checkpoint = {key: _shifted(value) for key, value in fitted.checkpoint().items()}
    section = checkpoint  # Reverse Distillation has the tensors one level down
    while isinstance(next(iter(section.values())), dict):
        section = section[next(reversed(section))]
    key = next(key for key, value in section.items() if value.ndim)
    if damage == "missing":
        del section[key]
    elif damage == "unknown":
        section["stranger"] = torch.zeros(3)
    elif damage == "reshaped":
        section[key] = torch.zeros(7, 7, 7, 7, 7)
    elif damage == "no tensor":
        section[key] = 3
    else:
        checkpoint = {"weight": torch.zeros(2)}
    before = driver.tensors(fitted)
    with pytest.raises(ValueError, match=r"checkpoint|layout"):
        fitted.load_checkpoint(checkpoint)
    assert_untouched(fitted, before)


def _shifted(value):
    if isinstance(value, dict):
        return {key: _shifted(each) for key, each in value.items()}
    return value + 1


def test_frozen_parts_stay_frozen(name, fitted):
    frozen = [getattr(fitted, part) for part in fitted.frozen_parts if getattr(fitted, part)]
    before = [driver.tensors(part) for part in frozen]
    fit(fitted, name)
    for part, tensors in zip(frozen, before, strict=True):
        assert_untouched(part, tensors)
        assert all(parameter.grad is None for parameter in part.parameters())
        trained = set(fitted.trainable_parameters())
        assert trained.isdisjoint(part.parameters())
    prefixes = tuple(f"{part}." for part in fitted.frozen_parts)
    assert not [key for key in fitted.checkpoint() if key.startswith(prefixes)]
    if fitted.backbone is not None:
        assert not fitted.train().backbone.training
        layers = driver.SHRUNK.get(name, {}).get("layers", MODELS[name].layers)
        assert fitted.backbone.layers == layers


def test_training_lowers_the_loss_with_every_gradient_finite(name, fitted):
    if not fitted.uses_gradients:
        pytest.skip("gathers statistics alone")
    images = training(name)[:2]
    fields = driver.training_fields(name, images)
    # A few steps do not show through the noise of losses of randomly changed images, which is the
    # same in all steps here.
    losses = driver.train(fitted, images, steps=6, lr=1e-4, seed=11, **fields)
    assert min(losses[-2:]) < losses[0]
    touched = [p for p in fitted.parameters() if p.grad is not None]
    assert set(touched) <= set(fitted.trainable_parameters())
    assert all(parameter.grad.isfinite().all() for parameter in touched)


def test_loss_under_bfloat16_autocast_is_near_float32s(name, fitted):
    if not fitted.uses_gradients:
        pytest.skip("gathers statistics alone")
    losses = []
    for enabled in (False, True):
        model = copy.deepcopy(fitted).train()
        images = training(name)[:2]
        batch = driver.batch_of(model, images, **driver.training_fields(name, images))
        torch.manual_seed(7)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = model.loss(batch)
        loss.backward()
        assert loss.dtype == torch.float32
        losses.append(loss.item())
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_two_equal_runs_are_bit_equal(name, images):
    assert_equal(
        driver.predict(fit(driver.make(name), name), images),
        driver.predict(_fitted(name), images),
    )


def test_unfitted_model_says_so(name, images):
    model = driver.make(name)
    if not model.gathers_statistics:
        pytest.skip("predicts from the start")
    with pytest.raises(RuntimeError, match=r"compute\(\)"):
        driver.predict(model, images)


def test_too_few_images_are_refused_or_enough(name):
    model, none = driver.make(name), driver.make(name)
    if not model.gathers_statistics:
        pytest.skip("gathers no statistics")
    with pytest.raises(ValueError, match="found 0"):
        none.compute()
    refusal = None
    try:
        driver.gather(model, training(name)[:1])
    except ValueError as error:
        refusal = str(error)
    # What is counted may be images or their patches, of which one image has 64 here.
    assert refusal is None or re.search(r"found (1|64)\b", refusal)
