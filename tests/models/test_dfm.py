import copy

import numpy as np
import pytest
import scipy.stats
import sklearn.decomposition
import torch
from model_driver import batch_of, features_batch, gather, gather_features
from torch.nn import functional as F

from models.dfm import build

SIZE = (64, 96)  # 4 × 6 positions in layer 3, of which pooling leaves one
LARGE = (128, 128)
CHANNELS = 256  # of resnet18's layer 3


def make(score="fre", seed=0):
    torch.manual_seed(seed)
    return build(weights="resnet18.tv_in1k", state=None, score=score)


def pictures(count, seed, size=SIZE):
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(seed))


def features_of(count, seed, grid=(8, 8)):
    """Features as layer 3 might give, which spread along few directions."""
    generator = torch.Generator().manual_seed(seed)
    spread = torch.logspace(0.5, -2, CHANNELS)[:, None, None]
    return 2 + spread * torch.randn(count, CHANNELS, *grid, generator=generator)


def vectors(features):
    """``(B, C · h · w)`` float64 averages of 4 × 4 positions."""
    x = features.double().numpy()
    b, c, h, w = x.shape
    return x.reshape(b, c, h // 4, 4, w // 4, 4).mean(axis=(3, 5)).reshape(b, -1)


def scikit(train):
    return sklearn.decomposition.PCA(0.97, svd_solver="full").fit(vectors(train))


# Fewer and more images than there are numbers: 256 · 2 · 2 and 256 · 1 · 1.
CASES = [(30, (8, 8)), (300, (4, 4))]


@pytest.fixture(scope="module", params=CASES)
def split(request):
    count, grid = request.param
    return features_of(count, 1, grid), features_of(4, 2, grid)


def test_fre_is_the_reconstruction_error(split):
    train, test = split
    pca = scikit(train)
    x = vectors(test)
    squares = (x - pca.inverse_transform(pca.transform(x))) ** 2
    grid = [side // 4 for side in test.shape[2:]]
    errors = torch.from_numpy(squares.reshape(len(x), CHANNELS, *grid).sum(axis=1))
    maps = F.interpolate(errors[:, None], LARGE, mode="bilinear", align_corners=False)[:, 0]
    model = gather_features(make(), train)
    assert len(model.pca.components) == len(pca.components_)
    prediction = model.predict(features_batch(test, LARGE))["score"]
    assert prediction.maps.dtype == prediction.scores.dtype == torch.float32
    np.testing.assert_allclose(prediction.scores.numpy(), squares.sum(axis=1), rtol=1e-4)
    np.testing.assert_allclose(prediction.maps.numpy(), maps.numpy(), rtol=1e-4)


def test_nll_is_that_of_the_reduced_features_gaussian(split):
    train, test = split
    pca = scikit(train)
    reduced = pca.transform(vectors(train))
    gaussian = scipy.stats.multivariate_normal(
        reduced.mean(axis=0), np.cov(reduced, rowvar=False, bias=True)
    )
    expected = -gaussian.logpdf(pca.transform(vectors(test)))
    prediction = gather_features(make("nll"), train).predict(features_batch(test, LARGE))["score"]
    assert prediction.maps is None
    np.testing.assert_allclose(prediction.scores.numpy(), expected, rtol=1e-4)


def test_positions_left_over_by_the_pooling_are_left_out():
    train, test = features_of(20, 1, (7, 6)), features_of(2, 2, (7, 6))
    odd = gather_features(make(), train).predict(features_batch(test, SIZE))["score"]
    even = gather_features(make(), train[:, :, :4, :4]).predict(
        features_batch(test[:, :, :4, :4], SIZE)
    )["score"]
    torch.testing.assert_close(odd.scores, even.scores)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pca.mean": torch.zeros(512)}, r"pca.components is"),
        ({"grid": torch.zeros(2, 1, 0)}, "1024 numbers where 512 are wanted"),
        ({"pca.variances": torch.zeros(1)}, r"pca.variances is \(1,\)"),
    ],
)
def test_another_models_checkpoint_is_refused(change, message):
    model = gather_features(make(), features_of(6, 1))
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=message):
        model.load_checkpoint(model.checkpoint() | change)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_images_of_another_size_are_refused():
    model = make()
    model.update(batch_of(model, pictures(2, 1)))
    with pytest.raises(ValueError, match=r"\(1, 1\) as in training, found \(2, 2\)"):
        model.update(batch_of(model, pictures(2, 1, LARGE)))
    model.compute()
    with pytest.raises(ValueError, match=r"\(1, 1\) as in training, found \(2, 2\)"):
        model(pictures(2, 1, LARGE))


def test_images_too_small_to_pool_are_refused():
    with pytest.raises(ValueError, match="4×4 of them or more, found 2×2"):
        gather(make(), pictures(2, 1, (32, 32)))


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="Unknown score 'mse': choose from fre, nll"):
        make("mse")
    with pytest.raises(ValueError, match="Unknown weights 'resnet18'"):
        build(weights="resnet18", state=None, score="fre")
