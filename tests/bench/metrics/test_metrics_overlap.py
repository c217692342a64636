"""AUPRO and sPRO against their definitions, and areas against scikit-learn."""

import math

import numpy as np
import pytest
import torch
from brute_force import area_up_to, components, overlap_curve
from sklearn.metrics import roc_auc_score

from bench.metrics.overlap import areas, aupro, auspro, overlap_weights
from bench.metrics.ranking import _rank_on_device, auroc_of, rank_positives, rank_regions
from bench.metrics.regions import annotated_regions, label_regions

LIMITS = (0.3, 0.05, 0.01, 1.0)


def case(seed):
    """Maps and masks of a few regions, including ties, constant maps and infinities."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((3, 12, 14), bool)
    for _ in range(rng.integers(1, 5)):
        image, top, left = rng.integers(0, (3, 9, 10))
        masks[image, top : top + rng.integers(1, 4), left : left + rng.integers(1, 5)] = True
    maps = rng.normal(30, 5, masks.shape) + rng.choice([0, 4, 40]) * masks
    if seed % 3 == 1:
        maps = np.round(maps / 5)
    if seed % 7 == 2:
        maps[:] = 1
    if seed % 5 == 3:
        maps[rng.random(maps.shape) < 0.05] = np.inf
        maps[rng.random(maps.shape) < 0.3] = -np.inf
    return maps.astype(np.float32), masks


@pytest.mark.parametrize("seed", range(24))
def test_aupro_is_the_definition(seed):
    maps, masks = case(seed)
    found = components(masks)
    rates, overlaps = overlap_curve(maps, found)
    expected = [area_up_to(rates, overlaps, limit) for limit in LIMITS]
    regions = label_regions(torch.from_numpy(masks))
    ranks = rank_regions(torch.from_numpy(maps), regions)
    assert aupro(ranks, regions, LIMITS) == pytest.approx(expected, abs=1e-12)
    outside = torch.from_numpy(~masks).flatten()
    device = _rank_on_device(
        torch.from_numpy(maps).flatten(), outside, regions.positions, regions.ids, piece=77
    )
    assert aupro(device, regions, LIMITS) == pytest.approx(expected, abs=1e-12)
    # Where every pixel of a region is as large as it can count, sPRO is PRO.
    assert auspro(ranks, regions, regions.sizes, LIMITS) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(24))
def test_spro_is_the_definition(seed):
    """Regions overlap and touch; saturations are not whole numbers."""
    maps, masks = case(seed)
    rng = np.random.default_rng(seed)
    drawn = components(masks)
    image, region = drawn[0]
    drawn.append((image, np.roll(region, (1, 2), (0, 1))))
    drawn.sort(key=lambda pair: pair[0])
    saturation = np.array([rng.uniform(0.1, 1) * mask.sum() for _, mask in drawn])
    rates, overlaps = overlap_curve(maps, drawn, saturation)
    expected = [area_up_to(rates, overlaps, limit) for limit in LIMITS]
    regions = annotated_regions(maps.shape, [(i, torch.from_numpy(mask)) for i, mask in drawn])
    ranks = rank_regions(torch.from_numpy(maps), regions)
    found = auspro(ranks, regions, torch.from_numpy(saturation), LIMITS)
    assert found == pytest.approx(expected, abs=1e-12)


def test_the_area_of_the_roc_curve_is_auroc():
    maps, masks = (torch.from_numpy(array) for array in case(4))
    ranks = rank_positives(maps, masks)
    expected = roc_auc_score(masks.flatten(), maps.flatten())
    even = torch.full((len(ranks.positives),), 1 / len(ranks.positives), dtype=torch.float64)
    assert areas(ranks, even, [1.0]) == pytest.approx([expected], abs=1e-12)
    partial = roc_auc_score(masks.flatten(), maps.flatten(), max_fpr=0.1)
    # scikit-learn gives McClish's standardized area.
    raw = 0.1 * areas(ranks, even, [0.1])[0]
    assert 0.5 * (1 + (raw - 0.005) / (0.1 - 0.005)) == pytest.approx(partial, abs=1e-12)
    assert auroc_of(ranks) == pytest.approx(expected, abs=1e-12)


def test_aupro_is_never_above_one():
    """Thirds and sevenths do not sum to 1 in floating point; a perfect map still gives 1."""
    for size in (3, 7, 11):
        masks = torch.zeros(3, 8, 12).bool()
        masks[0, 0, :size] = masks[1, 2, :size] = masks[2, 4, : size - 2] = True
        regions = label_regions(masks)
        ranks = rank_regions(masks.float() + torch.rand(masks.shape) / 2, regions)
        assert all(0.999999 < value <= 1 for value in aupro(ranks, regions, (0.3, 0.1, 0.003)))


@pytest.mark.parametrize("full", [False, True])
def test_one_class_has_no_aupro(full):
    regions = label_regions(torch.full((2, 3, 3), full))
    ranks = rank_regions(torch.rand(2, 3, 3), regions)
    assert all(map(math.isnan, aupro(ranks, regions, (0.3, 0.1))))
    assert all(map(math.isnan, auspro(ranks, regions, regions.sizes)))


def test_misuse_is_an_error():
    maps, masks = (torch.from_numpy(array) for array in case(0))
    regions = label_regions(masks)
    ranks = rank_regions(maps, regions)
    for limit in (0.0, 1.5, math.nan):
        with pytest.raises(ValueError, match="false-positive rates"):
            aupro(ranks, regions, (limit,))
    with pytest.raises(ValueError, match="rank_regions"):
        overlap_weights(rank_positives(maps, masks), regions)
    for wrong in (regions.sizes + 1, regions.sizes * 0, regions.sizes[1:]):
        with pytest.raises(ValueError, match="cap it"):
            auspro(ranks, regions, wrong)
