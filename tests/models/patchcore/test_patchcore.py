import copy

import numpy as np
import pytest
import torch
from model_driver import gather
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F

from models.catalog import MODELS
from models.components.base import Batch
from models.patchcore.embedding import PooledEmbedding
from models.patchcore.model import build

RECIPES = ("baseline", "anomalib", "approximate")


def make(recipe="baseline", seed=0, **options):
    torch.manual_seed(seed)
    entry = MODELS["patchcore_resnet18"]
    options = {**entry.options, **entry.recipes[recipe].options, **options}
    return build(weights=entry.weights, state=None, **options)


@pytest.fixture(scope="module")
def images():
    return torch.rand(6, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def others():
    return torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(2)).square()


def fit(model, images, cuts=(2, 2, 2)):
    torch.manual_seed(5)
    return gather(model, images, list(cuts))


@pytest.fixture(scope="module")
def _fitted(images):
    return {recipe: fit(make(recipe), images) for recipe in RECIPES}


@pytest.fixture
def fitted(_fitted):
    return copy.deepcopy(_fitted)


def predict(model, images):
    with torch.inference_mode():
        return model(images)["score"]


def unfolded(features):
    """Pooled features as the paper's code makes them, in float64: patches, means, means."""
    size = features[0].shape[-2:]
    pooled = []
    for layer in features:
        batch, channels, height, width = layer.shape
        patches = F.unfold(layer.double(), 3, padding=1).view(batch, channels * 9, height, width)
        patches = F.interpolate(patches, size=size, mode="bilinear", align_corners=False)
        rows = patches.permute(0, 2, 3, 1).flatten(0, 2)[:, None]
        pooled.append(F.adaptive_avg_pool1d(rows, 1024))
    return F.adaptive_avg_pool1d(torch.cat(pooled, dim=2), 1024)[:, 0]


def concatenated(features):
    layers = [F.avg_pool2d(layer.double(), 3, 1, 1) for layer in features]
    layers[1] = F.interpolate(layers[1], size=layers[0].shape[-2:], mode="bilinear")
    return torch.cat(layers, dim=1).permute(0, 2, 3, 1).flatten(0, 2)


EMBEDDED = {"baseline": unfolded, "approximate": unfolded, "anomalib": concatenated}


def bank_of(model):
    return (model.memory_bank.patches + model.memory_bank.mean).double()


def patch_distances(model, recipe, images):
    """``(B, h, w)`` and all distances ``(B, h · w, M)``, in float64."""
    queries = EMBEDDED[recipe](model.backbone(images))
    everything = torch.cdist(queries, bank_of(model), compute_mode="donot_use_mm_for_euclid_dist")
    everything = everything.view(len(images), -1, everything.shape[1])
    return everything.amin(2).view(-1, 8, 8), everything


@pytest.mark.parametrize("channels", [(128, 256), (512, 1024), (1024, 2048)])
def test_pooled_features_are_the_official_ones(channels):
    g = torch.Generator().manual_seed(0)
    features = [
        torch.rand(2, channels[0], 6, 4, generator=g),
        torch.rand(2, channels[1], 3, 2, generator=g),
    ]
    found = PooledEmbedding(channels)(features).permute(0, 2, 3, 1).flatten(0, 2)
    torch.testing.assert_close(found.double(), unfolded(features), atol=1e-6, rtol=1e-5)


def test_layers_that_no_pooling_fits_are_refused():
    with pytest.raises(ValueError, match="512 channels, as ResNets have: found 384"):
        PooledEmbedding((384, 768))


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_bank_is_a_tenth_of_the_training_patches(fitted, images, recipe):
    model = fitted[recipe]
    patches = EMBEDDED[recipe](model.backbone(images))
    assert len(model.memory_bank) == int(0.1 * len(patches))
    nearest = torch.cdist(bank_of(model), patches).min(dim=1)
    assert nearest.values.max() < 1e-4
    assert len(nearest.indices.unique()) == len(model.memory_bank)


def test_complete_bank_scores_training_images_zero(images):
    model = fit(make(ratio=1.0), images)
    assert len(model.memory_bank) == 6 * 64
    assert predict(model, images).scores.abs().max() < 1e-4


@pytest.mark.parametrize("recipe", ["baseline", "approximate"])
def test_prediction_is_the_formula(fitted, others, recipe):
    found = predict(fitted[recipe], others)
    distances, _ = patch_distances(fitted[recipe], recipe, others)
    large = F.interpolate(distances[:, None], (64, 64), mode="bilinear", align_corners=False)[:, 0]
    maps = np.stack([gaussian_filter(each, sigma=4) for each in large.numpy()])
    np.testing.assert_allclose(found.maps.numpy(), maps, rtol=1e-4)
    np.testing.assert_allclose(found.scores.numpy(), distances.amax((1, 2)).numpy(), rtol=1e-5)


def test_prediction_as_anomalib_makes_it(fitted, others):
    model = fitted["anomalib"]
    found = predict(model, others)
    distances, everything = patch_distances(model, "anomalib", others)
    large = distances.numpy().repeat(8, axis=1).repeat(8, axis=2)
    maps = np.stack([gaussian_filter(each, sigma=4, mode="mirror") for each in large])
    np.testing.assert_allclose(found.maps.numpy(), maps, rtol=1e-4)
    bank, scores = bank_of(model), []
    for image, flat in zip(everything, distances.flatten(1), strict=True):
        to_all = image[flat.argmax()]
        support = torch.cdist(bank[to_all.argmin()][None], bank)[0].argsort()[:9]
        weights = to_all[support].exp() / to_all[support].exp().sum()
        scores.append((1 - weights[0]) * flat.max())
    np.testing.assert_allclose(found.scores.numpy(), torch.stack(scores).numpy(), rtol=1e-4)


@pytest.mark.parametrize("recipe", RECIPES)
def test_neither_the_cut_into_batches_nor_a_second_run_changes_the_bank(fitted, images, recipe):
    wanted = bank_of(fitted[recipe])
    torch.testing.assert_close(
        bank_of(fit(make(recipe), images, cuts=(5, 1))), wanted, atol=1e-5, rtol=0
    )
    assert torch.equal(bank_of(fit(make(recipe), images)), wanted)


def test_another_models_checkpoint_is_refused(fitted):
    with pytest.raises(ValueError, match=r"patches is \(38, 384\) where .*1024"):
        make().load_checkpoint(fitted["anomalib"].checkpoint())


def test_too_few_images_are_refused(images):
    model = make(ratio=0.01)
    with pytest.raises(ValueError, match=r"0\.01 of the patches: found 64, which"):
        fit(model, images[:1], cuts=(1,))
    with pytest.raises(ValueError, match="found 0"):
        make().compute()


def test_features_must_be_finite(images):
    model = make()
    features = [layer.clone() for layer in model.backbone(images)]
    features[1][0, 0, 0, 0] = torch.nan
    model.update(Batch(None, features, image_size=(64, 64)))
    with pytest.raises(ValueError, match="finite"):
        model.compute()


def test_images_need_not_be_square_nor_of_the_training_size(fitted):
    for recipe in RECIPES:
        found = predict(fitted[recipe], torch.rand(1, 3, 64, 96))
        assert found.maps.shape == (1, 64, 96)


def test_repeated_pixels_need_room_for_the_blur(fitted):
    with pytest.raises(ValueError, match="more than 16 pixels: found 16×64"):
        predict(fitted["anomalib"], torch.rand(1, 3, 16, 64))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": "resnet18"}, "Unknown weights 'resnet18'"),
        ({"embedding": "raw"}, "Unknown embedding 'raw'"),
        ({"projection": "none"}, "Unknown projection 'none'"),
        ({"coreset": "greedy"}, "Unknown coreset 'greedy'"),
        ({"upsampling": "bicubic"}, "Unknown upsampling 'bicubic'"),
        ({"ratio": 0.0}, "found ratio 0.0"),
        ({"neighbors": 0}, "and 0 neighbors"),
    ],
)
def test_unknown_names_and_numbers_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        build(**{"weights": "resnet18.tv_in1k", "state": None} | change)
