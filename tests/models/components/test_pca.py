import numpy as np
import pytest
import sklearn.decomposition
import torch

from models.components.pca import PCA

SHAPES = [(9, 30), (30, 30), (31, 30), (80, 30)]  # fewer and more samples than numbers


def samples(count, dimension, seed=0, mean=5.0):
    generator = torch.Generator().manual_seed(seed)
    spread = torch.logspace(1, -2, dimension)
    turn, _ = torch.linalg.qr(torch.randn(dimension, dimension, generator=generator))
    return mean + torch.randn(count, dimension, generator=generator) * spread @ turn


def fitted(train, keep, cuts=None):
    pca = PCA(keep)
    for batch in train.split(cuts or len(train)):
        pca.update(batch)
    pca.compute()
    return pca


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("keep", [4, 0.9, 0.999])
def test_pca_matches_scikit_learn(shape, keep):
    train, test = samples(*shape), samples(6, shape[1], seed=1)
    ours = fitted(train, keep)
    theirs = sklearn.decomposition.PCA(keep, svd_solver="full").fit(train.double().numpy())
    count = len(train)
    assert ours.components.shape == theirs.components_.shape
    np.testing.assert_allclose(ours.mean.numpy(), theirs.mean_, rtol=1e-5)
    np.testing.assert_allclose(
        ours.variances.numpy(), theirs.explained_variance_ * (count - 1) / count, rtol=1e-4
    )
    signs = np.sign((ours.components.numpy() * theirs.components_).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(ours.components.numpy() * signs, theirs.components_, atol=1e-4)
    reduced = theirs.transform(test.double().numpy())
    np.testing.assert_allclose(ours.transform(test).numpy() * signs.T, reduced, atol=2e-3)
    rest = test.double().numpy() - theirs.inverse_transform(reduced)
    np.testing.assert_allclose(ours.residual(test).numpy(), rest, atol=2e-3)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cuts", [1, 7])
def test_result_does_not_depend_on_batch_size(shape, cuts):
    train = samples(*shape)
    test = samples(6, shape[1], seed=1)
    torch.testing.assert_close(
        fitted(train, 0.97, cuts).residual(test), fitted(train, 0.97).residual(test)
    )


def test_no_more_components_than_samples_span():
    assert len(fitted(samples(5, 30), 16).components) == 4
    line = torch.arange(8.0)[:, None] * torch.ones(3)
    assert len(fitted(line, 3).components) == 1


@pytest.mark.parametrize("padding", [0, 30])  # fewer and more numbers than samples
def test_small_variances_above_rounding_are_components(padding):
    spread = torch.tensor([1, 1e-2, 1e-4])
    train = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)) * spread
    padded = torch.nn.functional.pad(train, (0, padding))
    assert len(fitted(padded, 3).components) == 3


@pytest.mark.parametrize("shape", SHAPES)
def test_large_means_do_not_cancel(shape):
    train = samples(*shape, mean=1e4)
    theirs = sklearn.decomposition.PCA(3, svd_solver="full").fit(train.double().numpy())
    count = len(train)
    np.testing.assert_allclose(
        fitted(train, 3, cuts=4).variances.numpy(),
        theirs.explained_variance_ * (count - 1) / count,
        rtol=1e-5,
    )


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images_are_refused(count):
    pca = PCA(4)
    pca.update(samples(count, 30))
    with pytest.raises(ValueError, match=f"at least two images: found {count}"):
        pca.compute()


@pytest.mark.parametrize("count", [4, 40])
@pytest.mark.parametrize("value", [0.1, float("nan")])
def test_samples_that_do_not_vary_or_are_not_finite_are_refused(count, value):
    with pytest.raises(ValueError, match="finite features that differ"):
        fitted(torch.full((count, 30), value), 4)


@pytest.mark.parametrize("keep", [0, -1, 1.0, 1.5])
def test_invalid_number_of_components_is_refused(keep):
    with pytest.raises(ValueError, match=f"found {keep}"):
        PCA(keep)
