"""Median and MAD against SciPy, and what happens where they are degenerate."""

import numpy as np
import pytest
import torch
from scipy.stats import median_abs_deviation

from bench.metrics.standardization import center_and_spread, standardized


@pytest.mark.parametrize("count", [5, 6, 501])
def test_median_and_mad_equal_scipys(count):
    values = np.random.default_rng(count).lognormal(size=count)
    center, spread = center_and_spread(torch.from_numpy(values))
    assert center == np.median(values)
    assert spread == pytest.approx(median_abs_deviation(values, scale="normal"), rel=1e-12)


def test_infinite_scores_are_left_out_and_half_equal_ones_still_spread():
    values = torch.tensor([0.0, 0.0, 0.0, 1.0, 2.0, torch.inf])
    center, spread = center_and_spread(values)
    assert center == 0
    assert spread == pytest.approx(0.6 * np.sqrt(np.pi / 2))
    assert center_and_spread(torch.full((4,), 3.0)) == (3.0, 0.0)
    with pytest.raises(ValueError, match="none among 2"):
        center_and_spread(torch.tensor([torch.inf, -torch.inf]))


def test_standardized_maps_keep_their_shape_and_order():
    maps = torch.randn(2, 3, 4)
    found = standardized(maps, 1.0, 2.0)
    assert found.shape == maps.shape
    torch.testing.assert_close(found, (maps.double() - 1) / 2)
