import numpy as np
import pytest
import torch

from models.components import gaussian
from models.components.gaussian import PositionGaussians

POSITIONS, CHANNELS = 5, 12
FEW, MANY = 7, 40  # fewer and more images than channels: the two ways to the same distances


def samples(count, seed=0, mean=0.0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    # Correlated channels, each position by its own mixture.
    mixture = torch.randn(POSITIONS, CHANNELS, CHANNELS, generator=generator)
    return mean + scale * torch.randn(POSITIONS, count, CHANNELS, generator=generator) @ mixture


def fitted(train, cuts=None):
    gaussians = PositionGaussians(CHANNELS)
    for batch in train.split(cuts or train.shape[1], dim=1):
        gaussians.update(batch.__getitem__, POSITIONS)
    gaussians.compute()
    return gaussians


def reference(train, test):
    """Mahalanobis distances in float64 by the inverse of each covariance."""
    distances = np.empty(test.shape[:2])
    for p in range(POSITIONS):
        x, y = train[p].double().numpy(), test[p].double().numpy()
        inverse = np.linalg.inv(np.cov(x, rowvar=False) + 0.01 * np.eye(CHANNELS))
        delta = y - x.mean(axis=0)
        distances[p] = np.sqrt(np.einsum("bi,ij,bj->b", delta, inverse, delta))
    return distances


@pytest.mark.parametrize("count", [2, FEW, CHANNELS - 1, CHANNELS, CHANNELS + 1, MANY])
def test_distances_are_mahalanobis(count):
    train, test = samples(count), samples(6, seed=1)
    ours = fitted(train).distances(test.__getitem__)
    np.testing.assert_allclose(ours.numpy(), reference(train, test), rtol=1e-4)


def test_whitening_factorizes_the_inverse_covariance():
    train = samples(MANY)
    factor = np.linalg.inv(fitted(train).whitening.double().numpy())  # L
    for p in range(POSITIONS):
        covariance = np.cov(train[p].double().numpy(), rowvar=False) + 0.01 * np.eye(CHANNELS)
        error = np.linalg.norm(factor[p] @ factor[p].T - covariance) / np.linalg.norm(covariance)
        assert error < 1e-5
        assert np.allclose(factor[p], np.tril(factor[p]), atol=1e-5)


@pytest.mark.parametrize("count", [FEW, MANY])
@pytest.mark.parametrize("cuts", [1, 3, 13])
def test_result_does_not_depend_on_batch_size(count, cuts):
    train, test = samples(count), samples(6, seed=1)
    torch.testing.assert_close(
        fitted(train, cuts).distances(test.__getitem__),
        fitted(train).distances(test.__getitem__),
        rtol=1e-4,
        atol=0,
    )


@pytest.mark.parametrize("count", [FEW, MANY])
def test_large_means_do_not_cancel(count):
    # Plain float32 sums of x xᵀ are 4·10⁷ here and round to 4, where λ(n − 1) is 0.4.
    train, test = samples(count, mean=1e3), samples(6, seed=1, mean=1e3)
    ours = fitted(train, cuts=4).distances(test.__getitem__)
    np.testing.assert_allclose(ours.numpy(), reference(train, test), rtol=2e-2)
    assert np.linalg.norm(ours.numpy() / reference(train, test) - 1) / ours.numel() ** 0.5 < 2e-3


@pytest.mark.parametrize("count", [FEW, MANY])
def test_blocks_of_positions_change_nothing(count, monkeypatch):
    train, test = samples(count), samples(6, seed=1)
    whole = fitted(train).distances(test.__getitem__)
    monkeypatch.setitem(gaussian._WORKSPACE, "cpu", 300)
    gaussians = fitted(train)
    assert len(gaussians._slices(POSITIONS)) == 3
    torch.testing.assert_close(gaussians.distances(test.__getitem__), whole, rtol=1e-5, atol=0)


@pytest.fixture
def _two_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("_two_threads")
@pytest.mark.parametrize("count", [100, 209])
def test_two_threads_invert_every_covariance(count, monkeypatch):
    """LAPACK's batched factorization is known to be wrong under several threads."""
    positions, channels = 40, 150
    monkeypatch.setitem(gaussian._WORKSPACE, "cpu", 4 * channels**2)
    gaussians = PositionGaussians(channels)
    assert len(gaussians._slices(positions)) == 10
    train = torch.randn(positions, count, channels)
    gaussians.update(train.__getitem__, positions)
    gaussians.compute()
    assert torch.get_num_threads() == 2

    square = gaussians.whitening.double().mT @ gaussians.whitening.double()
    identity = torch.eye(channels, dtype=torch.float64)
    inverse = square if count >= channels else (identity - square) / 0.01
    centered = train.double() - train.double().mean(dim=1, keepdim=True)
    covariance = centered.mT @ centered / (count - 1) + 0.01 * identity
    error = torch.linalg.matrix_norm(covariance @ inverse - identity) / channels**0.5
    assert error.max() < 1e-3


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images_are_refused(count):
    gaussians = PositionGaussians(CHANNELS)
    if count:
        gaussians.update(samples(1).__getitem__, POSITIONS)
    with pytest.raises(ValueError, match=f"at least two images for its covariance: found {count}"):
        gaussians.compute()


@pytest.mark.parametrize("count", [FEW, MANY])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_refused(count, value):
    train = samples(count)
    train[3, 2, 4] = value
    with pytest.raises(ValueError, match="not positive definite"):
        fitted(train)
