"""AUROC, AP and the best F1 against scikit-learn and a count over all pairs."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from bench.metrics.host_sort import count_below
from bench.metrics.ranking import (
    _rank_on_device,
    auroc,
    auroc_of,
    average_precision,
    f1_max,
    rank_positives,
    rank_regions,
)
from bench.metrics.regions import label_regions
from bench.metrics.thresholds import confusion

TINY = float(np.finfo(np.float32).smallest_subnormal)
# Few distinct values make ties; signed zeros, denormals and adjacent values stress comparisons.
HEAVY = [0.0, -0.0, 1.0, float(np.nextafter(np.float32(1), np.float32(2))), TINY, -TINY, 3e38]
scores_and_labels = st.lists(
    st.tuples(
        st.one_of(
            st.sampled_from([*HEAVY, float("inf"), float("-inf")]), st.floats(width=32)
        ).filter(lambda v: v == v),
        st.booleans(),
    ),
    min_size=1,
    max_size=40,
)


def on_device(scores, labels, piece=1 << 24):
    """The CUDA code path, run on the CPU."""
    return _rank_on_device(scores, ~labels, labels.nonzero()[:, 0], None, piece)


def by_pairs(scores, labels):
    """Wins of positives over negatives, ties half, one pair at a time."""
    positives = [s for s, y in zip(scores, labels, strict=True) if y]
    negatives = [s for s, y in zip(scores, labels, strict=True) if not y]
    if not positives or not negatives:
        return float("nan")
    wins = sum((p > n) + 0.5 * (p == n) for p in positives for n in negatives)
    return wins / (len(positives) * len(negatives))


@given(scores_and_labels)
@settings(deadline=None, max_examples=300)
def test_auroc_counts_pairs(rows):
    scores, labels = map(list, zip(*rows, strict=True))
    value = auroc(torch.tensor(scores, dtype=torch.float32), torch.tensor(labels))
    assert value == pytest.approx(by_pairs(scores, labels), abs=1e-15, nan_ok=True)


@given(scores_and_labels, st.integers(1, 7))
@settings(deadline=None, max_examples=200)
def test_ranks_in_pieces_are_the_ranks(rows, piece):
    """In pieces smaller than the set."""
    scores, labels = (torch.tensor(column) for column in zip(*rows, strict=True))
    whole = rank_positives(scores, labels)
    pieces = on_device(scores, labels, piece)
    assert torch.equal(whole.positives, pieces.positives)
    assert torch.equal(whole.below, pieces.below)
    assert torch.equal(whole.up_to, pieces.up_to)
    assert whole.negatives == pieces.negatives
    assert [int((scores[~labels] < p).sum()) for p in whole.positives] == whole.below.tolist()
    assert [int((scores[~labels] <= p).sum()) for p in whole.positives] == whole.up_to.tolist()


@given(scores_and_labels, st.sampled_from([torch.float32, torch.float64]))
@settings(deadline=None, max_examples=200)
def test_a_positive_keeps_its_region(rows, dtype):
    scores, labels = (torch.tensor(column) for column in zip(*rows, strict=True))
    # Every second pixel is a gap, so that each positive is a region of its own.
    maps = torch.zeros(1, 1, 2 * len(scores), dtype=dtype)
    maps[0, 0, ::2] = scores.to(dtype)
    masks = torch.zeros(maps.shape, dtype=torch.bool)
    masks[0, 0, ::2] = labels
    regions = label_regions(masks)
    ranks, plain = rank_regions(maps, regions), rank_positives(maps, masks)
    assert regions.count == int(labels.sum())
    assert torch.equal(scores[labels].to(dtype)[ranks.regions.long()], ranks.positives)
    for device in (ranks, _rank_on_device(maps.flatten(), ~masks.flatten(), *at(regions))):
        assert torch.equal(device.positives, plain.positives)
        assert torch.equal(device.below, plain.below)
        assert torch.equal(device.up_to, plain.up_to)
        assert device.negatives == plain.negatives


def at(regions):
    return regions.positions, regions.ids


def test_threads_count_what_one_counts():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 5000, 3 << 19).astype(np.float32)
    negative = rng.random(len(values)) < 0.9
    positives = np.sort(values[~negative])[::50]
    one, three = (count_below(values, negative, positives, threads) for threads in (1, 3))
    assert all(np.array_equal(*pair) for pair in zip(one, three, strict=True))
    sample = positives[::500]
    assert [np.count_nonzero(values[negative] < v) for v in sample] == three[0][::500].tolist()
    values[-1] = np.nan
    assert count_below(values, negative | True, positives, 3)[2]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("levels", [0, 2, 50])
def test_auroc_of_maps_is_scikit_learns(dtype, levels):
    rng = np.random.default_rng(levels)
    masks = rng.random((5, 64, 64)) < 0.1
    maps = rng.normal(30, 5, masks.shape) + 4 * masks
    if levels:
        maps = np.round(maps / 60 * levels)
    maps = torch.from_numpy(maps).to(dtype)
    expected = roc_auc_score(masks.ravel(), maps.double().numpy().ravel())
    assert auroc(maps, torch.from_numpy(masks)) == pytest.approx(expected, abs=1e-12)
    assert auroc(maps, torch.from_numpy(masks * np.uint8(255))) == pytest.approx(
        expected, abs=1e-12
    )


@pytest.mark.parametrize("ranked", [rank_positives, on_device])
@pytest.mark.parametrize("where", [0, 3])
def test_nan_is_an_error(ranked, where):
    scores = torch.arange(4.0)
    scores[where] = float("nan")
    with pytest.raises(ValueError, match="1 of 4 scores are NaN"):
        ranked(scores, torch.tensor([True, True, False, False]))


def test_misfits_are_errors():
    with pytest.raises(ValueError, match=r"\(4,\).*\(3,\)"):
        auroc(torch.zeros(4), torch.zeros(3, dtype=torch.bool))
    with pytest.raises(ValueError, match="boolean or integer"):
        auroc(torch.zeros(4), torch.zeros(4))
    with pytest.raises(ValueError, match=r"\(1, 2, 2\).*\(1, 2, 3\)"):
        rank_regions(torch.zeros(1, 2, 2), label_regions(torch.ones(1, 2, 3).bool()))
    with pytest.raises(ValueError, match="floating-point"):
        auroc(torch.zeros(4, dtype=torch.int64), torch.zeros(4, dtype=torch.bool))


def test_scores_are_ranked_raw():
    """Scores of 20–40: a hidden sigmoid would make them all 1, a clamp would tie them."""
    from torchmetrics.functional.classification import binary_auroc

    rng = np.random.default_rng(0)
    labels = rng.random(400) < 0.5
    scores = torch.from_numpy(rng.normal(30, 2, 400) + 4 * labels).float()
    truth = roc_auc_score(labels, scores.numpy())
    assert truth > 0.9
    assert auroc(scores, torch.from_numpy(labels)) == pytest.approx(truth, abs=1e-12)
    trapped = float(binary_auroc(scores, torch.from_numpy(labels).long()))
    assert trapped == pytest.approx(0.5, abs=0.05)


def scores_of(kind, rng, labels):
    count = len(labels)
    return {
        "normal": rng.normal(30, 5, count) + 3 * labels,
        "ties": rng.integers(0, 4, count) + labels,
        "constant": np.full(count, 7.5),
        "denormal": rng.integers(-3, 4, count) * TINY,
        "neighbors": 1 + rng.integers(0, 3, count) * 2.0**-23,
        "infinite": rng.choice([-math.inf, 0.0, -0.0, 1.0, math.inf], count),
        "huge": rng.normal(0, 1, count) * 3e37,
        "reversed": -rng.normal(0, 1, count) - 9 * labels,
    }[kind]


KINDS = ["normal", "ties", "constant", "denormal", "neighbors", "infinite", "huge", "reversed"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_all_three_are_scikit_learns(kind, dtype):
    for seed in range(13):
        rng = np.random.default_rng(seed)
        count = int(rng.integers(2, 300))
        labels = rng.random(count) < rng.choice([0.05, 0.5])
        labels[0], labels[1] = True, False  # sometimes the only positive
        scores = scores_of(kind, rng, labels).astype(dtype)
        # scikit-learn refuses infinities, which are ordinary values here: it gets dense ranks.
        values, ordered = np.unique(scores, return_inverse=True)
        ranks = rank_positives(torch.from_numpy(scores), torch.from_numpy(labels))
        near = {"abs": 1e-12, "rel": 0}
        assert auroc_of(ranks) == pytest.approx(roc_auc_score(labels, ordered), **near)
        assert average_precision(ranks) == pytest.approx(
            average_precision_score(labels, ordered), **near
        )

        precision, recall, thresholds = precision_recall_curve(labels, ordered)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
        can_be_flagged = values[thresholds.astype(int)] > -np.inf
        value, threshold = f1_max(ranks)
        if np.isneginf(scores[labels]).all():
            assert math.isnan(value)
            continue
        assert value == pytest.approx(f1[:-1][can_be_flagged].max(), **near)
        flagged = confusion(torch.from_numpy(scores), torch.from_numpy(labels), threshold)
        assert flagged.f1 == pytest.approx(value, **near)


def test_of_equal_f1_the_highest_threshold_wins():
    ranks = rank_positives(torch.tensor([4.0, 3, 2, 1]), torch.tensor([1, 0, 0, 1]))
    value, threshold = f1_max(ranks)
    assert value == pytest.approx(2 / 3)  # at both positives
    assert 3 < threshold < 4


@pytest.mark.parametrize("labels", [torch.zeros(3).bool(), torch.ones(3).bool(), torch.ones(0)])
def test_one_class_has_no_value(labels):
    ranks = rank_positives(torch.arange(float(len(labels))), labels.bool())
    assert math.isnan(auroc_of(ranks))
    assert math.isnan(average_precision(ranks))
    assert all(math.isnan(value) for value in f1_max(ranks))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_the_same_number():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(3, 128, 128, generator=generator).mul(50).round()
    labels = torch.rand(3, 128, 128, generator=generator) < 0.2
    ranks = rank_positives(scores.cuda(), labels.cuda())
    assert ranks.below.is_cuda
    assert auroc_of(ranks) == auroc(scores, labels)


def test_neither_scores_nor_labels_are_changed():
    scores, labels = torch.tensor([3.0, 1.0, 2.0]), torch.tensor([1, 0, 0])
    auroc(scores, labels)
    assert scores.tolist() == [3.0, 1.0, 2.0]
    assert labels.tolist() == [1, 0, 0]
