"""AUPIMO against numerical integration of its definition."""

import math

import numpy as np
import pytest
import torch
from brute_force import image_overlap_areas

from bench.metrics import pimo
from bench.metrics.pimo import aupimo, undefined_reason
from bench.metrics.pixels import PixelInputs
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
    normal = torch.from_numpy(~masks.any((1, 2)))
    found = aupimo(scores, regions, ranks, normal, bounds)
    outside = torch.from_numpy(~masks).flatten()
    device = _rank_on_device(scores.flatten(), outside, regions.positions, regions.ids)
    assert torch.equal(aupimo(scores, regions, device, normal, bounds), found)
    assert found.numpy() == pytest.approx(image_overlap_areas(maps, masks, *bounds), abs=1e-5)


def test_a_constant_map_scores_as_chance():
    masks = torch.zeros(3, 10, 40).bool()
    masks[2, 3, 3:9] = True
    regions = label_regions(masks)
    flat = torch.ones(3, 10, 40)
    normal = torch.tensor([True, True, False])
    found = aupimo(flat, regions, rank_regions(flat, regions), normal, (0.01, 0.1))
    # Found at the rate of false positives x: the integral of x d log x is the bounds' distance.
    assert found.tolist() == pytest.approx([(0.1 - 0.01) / math.log(10)], abs=1e-12)


@pytest.mark.parametrize("seed", [1, 3])
def test_pieces_add_up_and_the_maps_stay_as_they_are(seed, monkeypatch):
    maps, masks = case(seed)
    regions, scores = label_regions(torch.from_numpy(masks)), torch.from_numpy(maps.copy())
    normal = torch.from_numpy(~masks.any((1, 2)))
    arguments = (scores, regions, rank_regions(scores, regions), normal, (0.01, 0.1))
    whole = aupimo(*arguments)
    monkeypatch.setattr(pimo, "_PIECE", 3)
    assert torch.equal(aupimo(*arguments), whole)
    assert torch.equal(scores, torch.from_numpy(maps))


def test_few_pixels_have_no_aupimo():
    masks, normal = torch.zeros(2, 300, 300).bool(), torch.tensor([True, False])
    assert undefined_reason(label_regions(masks), normal) == "no pixel is defective"
    masks[1, 2, 2] = True
    regions = label_regions(masks)
    assert undefined_reason(regions, normal).endswith(
        "100,000 pixels of normal images, there are 90,000"
    )
    assert undefined_reason(regions, normal, (1e-4, 1e-3)) == ""
    maps = torch.rand(2, 300, 300)
    with pytest.raises(ValueError, match="there are 90,000"):
        aupimo(maps, regions, rank_regions(maps, regions), normal)


@pytest.mark.parametrize("method", ["exact", "histogram"])
def test_a_defective_image_whose_mask_vanished_is_no_normal_image(method):
    maps, masks = case(1)
    defective = masks.any((1, 2))
    vanished = np.flatnonzero(defective)[0]
    masks[vanished] = False
    rest = np.arange(6) != vanished
    regions = label_regions(torch.from_numpy(masks))
    inputs = PixelInputs(
        torch.from_numpy(maps), regions, method=method, labels=torch.from_numpy(defective)
    )
    bounds, expected = (0.01, 0.1), image_overlap_areas(maps[rest], masks[rest], 0.01, 0.1).mean()
    if method == "exact":
        found = aupimo(inputs.maps, regions, inputs.ranks, inputs.normal, bounds).mean()
        assert float(found) == pytest.approx(expected, abs=1e-5)
    else:
        found = inputs.histogram.aupimo(bounds)
        assert abs(found.value - expected) <= found.error + 1e-5
