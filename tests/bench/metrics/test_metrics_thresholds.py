"""Thresholds and their counts against scikit-learn, NumPy and every candidate tried."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_recall_curve,
    precision_score,
    recall_score,
)

from bench.metrics.thresholds import best_f1_threshold, calibrated_threshold, confusion

ONE = np.float32(1)
TINY = float(np.finfo(np.float32).smallest_subnormal)
ADJACENT = [float(ONE), float(np.nextafter(ONE, np.float32(2))), float(np.nextafter(ONE, -ONE))]
VALUES = [0.0, -0.0, TINY, -TINY, 3e38, -3e38, float("inf"), *ADJACENT]
both_classes = st.lists(
    st.tuples(st.one_of(st.sampled_from(VALUES), st.floats(-100, 100, width=32)), st.booleans()),
    min_size=2,
    max_size=30,
).filter(lambda rows: len({label for _, label in rows}) == 2)


def f1_of(labels, flagged):
    found = sum(1 for y, f in zip(labels, flagged, strict=True) if y and f)
    return 2 * found / (sum(labels) + sum(flagged))


@given(both_classes)
@settings(deadline=None, max_examples=400)
def test_best_f1_is_the_best_of_all_cuts(rows):
    scores, labels = map(list, zip(*rows, strict=True))
    values = torch.tensor(scores, dtype=torch.float32)
    best = max(f1_of(labels, [s >= cut for s in scores]) for cut in scores)
    threshold = best_f1_threshold(values, torch.tensor(labels))
    assert confusion(values, torch.tensor(labels), threshold).f1 == best
    # Whoever compares in double precision decides the same.
    assert f1_of(labels, [s > threshold for s in values.tolist()]) == best


@pytest.mark.parametrize("levels", [0, 3, 40])
def test_best_f1_is_scikit_learns(levels):
    rng = np.random.default_rng(levels)
    labels = rng.random(3000) < 0.3
    scores = rng.normal(20, 3, 3000) + 2 * labels
    scores = (np.round(scores / 40 * levels) if levels else scores).astype(np.float32)
    precision, recall, _ = precision_recall_curve(labels, scores)
    best = np.nanmax(2 * precision * recall / np.maximum(precision + recall, 1e-12))
    values, truth = torch.from_numpy(scores), torch.from_numpy(labels)
    threshold = best_f1_threshold(values, truth)
    assert confusion(values, truth, threshold).f1 == pytest.approx(best, abs=1e-12)
    assert f1_score(labels, scores > threshold) == pytest.approx(best, abs=1e-12)


def test_best_f1_threshold_lies_midway():
    scores = torch.tensor([1.0, 2.0, 5.0, 6.0])
    assert best_f1_threshold(scores, torch.tensor([0, 0, 1, 1])) == 3.5


def test_best_f1_in_half_precision():
    scores = torch.tensor([1.0, 1.0009765625], dtype=torch.float16)  # neighbors
    labels = torch.tensor([0, 1])
    assert confusion(scores, labels, best_f1_threshold(scores, labels)).f1 == 1.0


def test_best_f1_of_equal_f1_flags_fewest():
    scores, labels = torch.tensor([3.0, 2.0, 1.0]), torch.tensor([1, 0, 1])
    threshold = best_f1_threshold(scores, labels)  # 0.8 with all; 2/3 with one
    assert confusion(scores, labels, threshold).f1 == 0.8
    tied = torch.tensor([1, 0, 0, 1])  # flagging one or all four: 2/3 both
    scores = torch.tensor([4.0, 3.0, 2.0, 1.0])
    assert best_f1_threshold(scores, tied) == 3.5


def test_minus_infinity_is_never_flagged():
    scores, labels = torch.tensor([-math.inf, -math.inf, 1.0]), torch.tensor([1, 0, 1])
    assert confusion(scores, labels, best_f1_threshold(scores, labels)).f1 == pytest.approx(2 / 3)
    # Flagging all would be best, but cannot be; of what can, flagging the last alone is.
    scores, labels = torch.tensor([-math.inf] * 3 + [0.0, 1.0]), torch.tensor([1, 1, 1, 0, 1])
    assert confusion(scores, labels, best_f1_threshold(scores, labels)).f1 == pytest.approx(2 / 5)
    scores, hopeless = torch.tensor([-math.inf, -math.inf, 1.0]), torch.tensor([1, 0, 0])
    assert confusion(scores, hopeless, best_f1_threshold(scores, hopeless)).f1 == 0.0


@pytest.mark.parametrize("labels", [[0, 0], [1, 1]])
def test_best_f1_needs_both_classes(labels):
    assert math.isnan(best_f1_threshold(torch.tensor([1.0, 2.0]), torch.tensor(labels)))


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40),
    st.sampled_from([0.0, 5.0, 50.0, 95.0, 100.0]),
)
@settings(deadline=None, max_examples=200)
def test_calibrated_threshold_is_numpys_percentile(scores, percentile):
    value = calibrated_threshold(torch.tensor(scores, dtype=torch.float32), percentile)
    expected = float(np.percentile(np.array(scores, dtype=np.float64), percentile))
    assert value == pytest.approx(expected, rel=1e-6, abs=1e-30)
    assert value == float(np.float32(value))


def test_calibrated_threshold_default_is_the_95th():
    assert calibrated_threshold(torch.arange(101.0)) == 95.0


def test_calibrated_threshold_between_infinities_flags_fewest():
    assert calibrated_threshold(torch.tensor([-math.inf, math.inf])) == math.inf
    assert calibrated_threshold(torch.tensor([-math.inf, -math.inf])) == -math.inf


@pytest.mark.parametrize("scores", [[], [1.0, math.nan]])
def test_calibrated_threshold_of_nothing_or_nan(scores):
    with pytest.raises(ValueError, match="wanted a percentile"):
        calibrated_threshold(torch.tensor(scores))


def test_counts_are_scikit_learns():
    rng = np.random.default_rng(3)
    labels, scores = rng.random(500) < 0.4, np.round(rng.normal(0, 3, 500)).astype(np.float32)
    for threshold in (-2.0, 0.0, 0.5, 4.0):
        counts = confusion(torch.from_numpy(scores), torch.from_numpy(labels), threshold)
        flagged = scores > threshold
        (tn, fp), (fn, tp) = confusion_matrix(labels, flagged)
        assert counts.true_negatives == tn
        assert counts.false_positives == fp
        assert counts.false_negatives == fn
        assert counts.true_positives == tp
        assert counts.accuracy == pytest.approx(accuracy_score(labels, flagged))
        assert counts.precision == pytest.approx(precision_score(labels, flagged))
        assert counts.recall == pytest.approx(recall_score(labels, flagged))
        assert counts.specificity == pytest.approx(recall_score(~labels, ~flagged))
        assert counts.f1 == pytest.approx(f1_score(labels, flagged))
        assert counts.reasons() == {}


def test_a_score_on_the_threshold_is_normal():
    counts = confusion(torch.tensor([1.0, 1.5]), torch.tensor([1, 1]), 1.0)
    assert (counts.true_positives, counts.false_negatives) == (1, 1)


def test_undefined_ratios_say_why():
    nothing_flagged = confusion(torch.tensor([1.0, 2.0]), torch.tensor([0, 1]), 9.0)
    assert math.isnan(nothing_flagged.precision)
    assert (nothing_flagged.recall, nothing_flagged.f1) == (0.0, 0.0)
    assert set(nothing_flagged.reasons()) == {"precision"}
    nothing_defective = confusion(torch.tensor([1.0, 2.0]), torch.tensor([0, 0]), 1.5)
    assert nothing_defective.accuracy == nothing_defective.specificity == 0.5
    assert set(nothing_defective.reasons()) == {"precision", "recall", "f1"}
    assert all(math.isnan(getattr(nothing_defective, n)) for n in nothing_defective.reasons())


def test_nan_decides_nothing():
    with pytest.raises(ValueError, match="NaN"):
        confusion(torch.tensor([1.0, math.nan]), torch.tensor([0, 1]), 0.5)
    with pytest.raises(ValueError, match="NaN"):
        confusion(torch.tensor([1.0, 2.0]), torch.tensor([0, 1]), math.nan)
