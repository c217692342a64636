import numpy as np
import pytest
import scipy.stats
import torch

from models.components.kde import KDE


def samples(count, dimension, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mixture = torch.randn(dimension, dimension, generator=generator)
    return 3 + torch.randn(count, dimension, generator=generator) @ mixture


def fitted(train):
    kde = KDE()
    kde.fit(train)
    return kde


@pytest.mark.parametrize(("count", "dimension"), [(17, 16), (60, 16), (200, 3), (2, 1)])
def test_log_density_matches_scipy(count, dimension):
    train, test = samples(count, dimension), samples(30, dimension, seed=1)
    theirs = scipy.stats.gaussian_kde(train.double().numpy().T, bw_method="scott")
    for points in (test, train):
        np.testing.assert_allclose(
            fitted(train).log_density(points).numpy(),
            theirs.logpdf(points.double().numpy().T),
            rtol=1e-4,
            atol=2e-3,
        )


def test_far_points_are_told_apart():
    train = samples(50, 2)
    far = torch.tensor([[1e3, 0.0], [2e3, 0.0], [4e3, 0.0]])
    density = fitted(train).log_density(far)
    assert (density.diff() < -1e3).all()
    assert density.isfinite().all()


@pytest.mark.parametrize("count", [1, 3, 4])
def test_samples_that_do_not_span_their_space_are_refused(count):
    with pytest.raises(ValueError, match=f"more than 4 samples that span them: found {count}"):
        fitted(samples(count, 4))


def test_samples_in_a_plane_are_refused():
    flat = samples(30, 4)
    flat[:, 3] = 0
    with pytest.raises(ValueError, match="found 30, which do not"):
        fitted(flat)
