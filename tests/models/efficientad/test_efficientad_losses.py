"""EfficientAD's order statistics against NumPy's quantiles."""

import numpy as np
import pytest
import torch

from models.efficientad.model import hard_feature_loss, quantiles


@pytest.mark.parametrize("count", [1, 2, 7, 1000, 1001, 24_576])
def test_hard_loss_is_the_mean_from_the_quantile_on(count):
    values = np.random.default_rng(count).chisquare(1, count)
    distance = torch.from_numpy(values).view(1, count, 1, 1)
    expected = values[values >= np.quantile(values, 0.999)].mean()
    assert hard_feature_loss(distance).item() == pytest.approx(expected, rel=1e-12)


def test_hard_loss_counts_every_value_that_ties():
    values = np.repeat([1.0, 2.0, 3.0], [4000, 900, 2])
    expected = values[values >= np.quantile(values, 0.999)].mean()
    found = hard_feature_loss(torch.from_numpy(values).view(2, 19, 129, 1)).item()
    assert expected < 2.1
    assert found == pytest.approx(expected)


def test_hard_loss_moves_hard_features_alone():
    distance = torch.rand(1, 10, 20, 20, dtype=torch.float64).requires_grad_()
    hard_feature_loss(distance).backward()
    moved = distance.grad.flatten().nonzero().flatten()
    assert sorted(moved.tolist()) == sorted(distance.flatten().topk(4).indices.tolist())
    assert distance.grad.sum().item() == pytest.approx(1)


@pytest.mark.parametrize("count", [1, 2, 10, 999, 12_345])
def test_quantiles_are_exact(count):
    values = np.random.default_rng(count).normal(size=count)
    found = quantiles(torch.from_numpy(values), (0.9, 0.995))
    np.testing.assert_allclose(found, np.quantile(values, [0.9, 0.995]), rtol=1e-12)


@pytest.mark.slow
def test_quantiles_of_more_values_than_torch_takes():
    values = torch.rand(2**24 + 5, generator=torch.Generator().manual_seed(0))
    found = quantiles(values, (0.9,))
    np.testing.assert_allclose(found, np.quantile(values.double().numpy(), [0.9]), rtol=1e-6)
