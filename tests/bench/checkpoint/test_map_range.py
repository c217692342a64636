"""The colors of maps span finite values of normal images."""

import numpy as np
import pytest
import torch

from bench.checkpoint.map_range import map_range


@pytest.mark.parametrize("infinite", [0, 3, 40])
def test_the_range_is_of_the_finite_pixels(infinite):
    # An odd number of pixels has one median; the largest of 15 peaks is their conformal quantile.
    values = np.random.default_rng(0).normal(size=(15, 7, 7)).astype(np.float32)
    maps = torch.from_numpy(values.copy())
    maps.view(15, -1)[:, 49 - infinite :] = torch.inf
    rest = values.reshape(15, -1)[:, : 49 - infinite]
    low, high = map_range(maps)
    median = np.sort(rest, axis=None)[(rest.size - 1) // 2]
    assert low == pytest.approx(median)
    assert high == pytest.approx(median + 2 * (rest.max() - median))


@pytest.mark.parametrize("count", [1, 70])
def test_an_image_without_finite_pixels_does_not_count(count):
    infinite = torch.full((count, 2, 2), -torch.inf)
    assert map_range(infinite) == (0.0, 1.0)
    maps = torch.cat([infinite, torch.tensor([[[0.0, 1.0], [1.0, 3.0]]])])
    assert map_range(maps) == (1.0, 5.0)
