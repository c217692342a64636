"""AUPIMO against numerical integration of its definition."""

import math

import numpy as np
import pytest
import torch
from brute_force import image_overlap_areas

from bench.metrics.pimo import aupimo, undefined_reason
from bench.metrics.ranking import _rank_on_device, rank_regions
from bench.metrics.regions import label_regions


def case(seed):
    """Six images of which two to four are defective, with ties among all kinds of pixels."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((6, 12, 14), bool)
    for image in rng.choice(6, rng.integers(2, 5), replace=False):
        top, left = rng.integers(0, (8, 9))
        masks[image, top : top + 4, left : left + 5] = rng.random((4, 5)) < 0.7
        masks[image, top, left] = True
    maps = rng.normal(30, 5, masks.shape) + rng.choice([0, 6, 12]) * masks
    if seed % 3 == 1:
        maps = np.round(maps / 3)
    if seed % 5 == 2:
        maps[rng.random(maps.shape) < 0.04] = np.inf
    if seed % 7 == 3:
        maps[:] = 2
    return maps.astype(np.float32), masks


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("bounds", [(0.01, 0.1), (0.004, 0.9)])
def test_aupimo_is_the_definition(seed, bounds):
    maps, masks = case(seed)
    regions = label_regions(torch.from_numpy(masks))
    scores = torch.from_numpy(maps)
    ranks = rank_regions(scores, regions)
    found = aupimo(scores, regions, ranks, bounds)
    outside = torch.from_numpy(~masks).flatten()
    device = _rank_on_device(scores.flatten(), outside, regions.positions, regions.ids)
    assert torch.equal(aupimo(scores, regions, device, bounds), found)
    assert found.numpy() == pytest.approx(image_overlap_areas(maps, masks, *bounds), abs=1e-5)


def test_a_constant_map_scores_as_chance():
    masks = torch.zeros(3, 10, 40).bool()
    masks[2, 3, 3:9] = True
    regions = label_regions(masks)
    flat = torch.ones(3, 10, 40)
    found = aupimo(flat, regions, rank_regions(flat, regions), (0.01, 0.1))
    # Found at the rate of false positives x: the integral of x d log x is the bounds' distance.
    assert found.tolist() == pytest.approx([(0.1 - 0.01) / math.log(10)], abs=1e-12)


def test_few_pixels_have_no_aupimo():
    masks = torch.zeros(2, 300, 300).bool()
    assert undefined_reason(label_regions(masks)) == "no pixel is defective"
    masks[1, 2, 2] = True
    regions = label_regions(masks)
    assert undefined_reason(regions).endswith(
        "100,000 pixels of images without a defect, there are 90,000"
    )
    assert undefined_reason(regions, (1e-4, 1e-3)) == ""
    maps = torch.rand(2, 300, 300)
    with pytest.raises(ValueError, match="there are 90,000"):
        aupimo(maps, regions, rank_regions(maps, regions))
