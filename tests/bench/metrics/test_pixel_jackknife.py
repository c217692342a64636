"""The jackknife of pixel metrics against the exact metrics without an image, and simulations."""

import numpy as np
import pytest
import torch

from bench.metrics.comparison import compare_jackknifed
from bench.metrics.overlap import aupro
from bench.metrics.pixel_jackknife import JACKKNIFED, leave_out
from bench.metrics.ranking import auroc_of, average_precision, rank_regions
from bench.metrics.regions import label_regions

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1])


def pictures(rng, labels=LABELS, side=12, gap=0.3):
    """Maps with ties in half precision, and masks of one or two squares in defective images."""
    masks = np.zeros((len(labels), side, side), dtype=bool)
    for image in np.flatnonzero(labels):
        for _ in range(rng.integers(1, 3)):
            top, left, wide = [*rng.integers(0, side - 4, 2).tolist(), int(rng.integers(1, 5))]
            masks[image, top : top + wide, left : left + wide] = True
    own = rng.normal(0, 0.1, (len(labels), 1, 1))  # pixels of one image vary together
    maps = 0.5 + own + gap * masks + rng.normal(0, 0.2, masks.shape)
    return maps.clip(0, 1).round(2).astype(np.float16), masks


def exact(metric, maps, masks):
    """The value from the metrics that runs are evaluated with."""
    regions = label_regions(torch.from_numpy(masks))
    ranks = rank_regions(torch.from_numpy(maps.astype(np.float32)), regions)
    if metric.startswith("aupro"):
        return aupro(ranks, regions, [0.3 if metric == "aupro_30" else 0.05])[0]
    return (auroc_of if metric == "pixel_auroc" else average_precision)(ranks)


@pytest.mark.parametrize("metric", JACKKNIFED)
@pytest.mark.parametrize("seed", range(3))
def test_every_value_without_an_image_is_the_exact_metrics(metric, seed):
    maps, masks = pictures(np.random.default_rng(seed))
    found = leave_out(metric, maps, masks, LABELS)
    assert found.value == pytest.approx(exact(metric, maps, masks), abs=1e-12)
    for image, value in enumerate(found.without):
        rest = np.arange(len(LABELS)) != image
        assert value == pytest.approx(exact(metric, maps[rest], masks[rest]), abs=1e-12)


def test_the_spread_is_the_jackknifes_of_both_classes():
    maps, masks = pictures(np.random.default_rng(3))
    found = leave_out("pixel_ap", maps, masks, LABELS)
    terms = []
    for label in (0, 1):
        own = found.without[label == LABELS]
        terms.append((len(own) - 1) / len(own) * ((own - own.mean()) ** 2).sum())
    error, freedom = found.spread()
    assert error == pytest.approx(sum(terms) ** 0.5)
    assert freedom == pytest.approx(sum(terms) ** 2 / (terms[0] ** 2 / 3 + terms[1] ** 2 / 4))


def test_the_comparison_is_paired():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20)
    maps, masks = pictures(rng, labels)
    better = np.where(masks, maps + np.float16(0.03), maps)
    one, other = (leave_out("pixel_auroc", own, masks, labels) for own in (maps, better))
    apart = compare_jackknifed("pixel_auroc", one, other)
    assert apart.difference.low < apart.difference.value < apart.difference.high
    assert apart.p < 0.001  # unpaired, the same images would hide it
    assert apart.first.high > apart.second.value
    assert "second is better" in apart.verdict
    same = compare_jackknifed("pixel_auroc", one, one)
    assert (same.difference.value, same.p) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("labels", "marked", "message"),
    [([0, 1, 1], [1, 2], "found 1 and 2"), ([0, 0, 1], [2], "found 2 and 1")],
)
def test_too_few_images_of_a_class_are_reported(labels, marked, message):
    masks = np.zeros((3, 2, 2), dtype=bool)
    masks[marked, 0, 0] = True
    with pytest.raises(ValueError, match=message):
        leave_out("pixel_auroc", masks.astype(np.float16), masks, labels)
    with pytest.raises(ValueError, match="one shape"):
        leave_out("pixel_auroc", masks[0].astype(np.float16), masks, labels)


@pytest.mark.slow
@pytest.mark.parametrize("metric", JACKKNIFED)
def test_equal_models_are_told_apart_in_five_percent(metric):
    labels, rejected, trials = np.repeat([0, 1], (20, 30)), 0, 400
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        first, masks = pictures(rng, labels, side=16)
        noise = rng.normal(0, 0.1, (2, *masks.shape)) + rng.normal(0, 0.1, (2, len(labels), 1, 1))
        runs = [(first + own).clip(0, 1).round(2).astype(np.float16) for own in noise]
        found = [leave_out(metric, own, masks, labels) for own in runs]
        rejected += compare_jackknifed(metric, *found).p < 0.05
    # Of 400 at 5 %, 8 to 34 are within 99.9 %.
    assert 8 <= rejected <= 34
