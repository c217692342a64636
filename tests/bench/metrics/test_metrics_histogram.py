"""The histogram's bounds hold the exact figures, and more bins make them tighter."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics.histogram import ScoreHistogram
from bench.metrics.overlap import aupro
from bench.metrics.pimo import aupimo
from bench.metrics.ranking import auroc_of, average_precision, f1_max, rank_regions
from bench.metrics.regions import label_regions

LIMITS = (0.3, 0.05, 0.01)
BOUNDS = (0.01, 0.1)


def exact(maps, regions):
    ranks = rank_regions(maps, regions)
    return [
        auroc_of(ranks),
        average_precision(ranks),
        f1_max(ranks)[0],
        *aupro(ranks, regions, LIMITS),
        float(aupimo(maps, regions, ranks, regions.offsets.diff() == 0, BOUNDS).mean()),
    ]


def counted(maps, masks, bits):
    """The metrics of a histogram that is updated image by image."""
    histogram = ScoreHistogram(bits)
    for image in range(len(maps)):
        histogram.update(maps[image : image + 1], label_regions(masks[image : image + 1]))
    return [
        histogram.auroc(),
        histogram.average_precision(),
        histogram.f1_max(),
        *histogram.aupro(LIMITS),
        histogram.aupimo(BOUNDS),
    ]


def case(seed, kind="normal"):
    rng = np.random.default_rng(seed)
    masks = np.zeros((4, 16, 16), bool)
    masks[2, 3:9, 4:8] = masks[3, 10:12, :] = masks[3, 2, 3] = True
    maps = rng.normal(0, 1, masks.shape) + rng.uniform(0, 2) * masks
    maps *= rng.choice([0.5, 1, 50])
    if kind == "ties":
        maps = np.round(maps)
    if kind == "infinite":
        maps[rng.random(maps.shape) < 0.1] = np.inf
        maps[rng.random(maps.shape) < 0.3] = -np.inf
        maps[rng.random(maps.shape) < 0.3] = rng.choice([0.0, -0.0])
    return torch.from_numpy(maps.astype(np.float32)), torch.from_numpy(masks)


@given(st.integers(0, 10**6), st.sampled_from(["normal", "ties", "infinite"]), st.integers(9, 16))
@settings(deadline=None, max_examples=60)
def test_the_truth_is_within_the_bound(seed, kind, bits):
    maps, masks = case(seed, kind)
    truth = exact(maps, label_regions(masks))
    for value, bounded in zip(truth, counted(maps, masks, bits), strict=True):
        assert abs(value - bounded.value) <= bounded.error + 1e-12


def test_the_bound_shrinks_with_the_bins():
    maps, masks = case(0)
    errors = np.array([[f.error for f in counted(maps, masks, bits)] for bits in (9, 12, 15, 18)])
    assert (errors[1:] <= errors[:-1]).all()  # finer bins only split coarser ones
    assert (errors[0] > 0.04).all()
    assert (errors[-1] < 5e-3).all()


def test_the_bound_of_auroc_is_half_of_the_tied_pairs():
    masks = torch.zeros(1, 1, 8).bool()
    masks[0, 0, ::4] = True
    maps = torch.tensor([[[1.0, 1.001, 2.0, 3.0, 4.0, 4.001, 4.002, 9.0]]])
    histogram = ScoreHistogram(9)
    histogram.update(maps, label_regions(masks))
    # Of 12 pairs, one and two share the bins of 1 and of 4; the positives beat 0 and 3 others.
    assert histogram.auroc().error == pytest.approx(3 / 12 / 2)
    assert histogram.auroc().value == pytest.approx((3 + 3 / 2) / 12)


@pytest.mark.parametrize("full", [False, True])
def test_one_class_has_no_figure(full):
    histogram = ScoreHistogram(9)
    masks = torch.full((2, 3, 3), full)
    histogram.update(torch.rand(2, 3, 3), label_regions(masks))
    figures = [histogram.auroc(), histogram.average_precision(), histogram.f1_max()]
    figures += [*histogram.aupro(LIMITS), histogram.aupimo()]
    assert all(math.isnan(figure.value) for figure in figures)


def test_misuse_is_an_error():
    regions = label_regions(torch.zeros(1, 2, 2).bool())
    with pytest.raises(ValueError, match="1 of 4 scores are NaN"):
        ScoreHistogram().update(torch.tensor([[[1, math.nan], [0, 0]]]), regions)
    with pytest.raises(ValueError, match=r"\(1, 2, 2\).*\(1, 2, 3\)"):
        ScoreHistogram().update(torch.zeros(1, 2, 3), regions)
    with pytest.raises(ValueError, match="9 to 22"):
        ScoreHistogram(bits=8)
