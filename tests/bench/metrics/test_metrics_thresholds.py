"""Thresholds of every rule and their counts against scikit-learn, NumPy and loops over cuts."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
    roc_curve,
)

from bench.metrics.thresholds import (
    Confusion,
    calibrated_threshold,
    confusion,
    every_threshold,
    false_alarm_bound,
)

ONE = np.float32(1)
TINY = float(np.finfo(np.float32).smallest_subnormal)
ADJACENT = [float(ONE), float(np.nextafter(ONE, np.float32(2))), float(np.nextafter(ONE, -ONE))]
VALUES = [0.0, -0.0, TINY, -TINY, 3e38, -3e38, math.inf, *ADJACENT]
HONEST = {"calibrated_p95", "sigma_3"}
both_classes = st.lists(
    st.tuples(st.one_of(st.sampled_from(VALUES), st.floats(-100, 100, width=32)), st.booleans()),
    min_size=2,
    max_size=30,
).filter(lambda rows: len({label for _, label in rows}) == 2)


def by_name(*arguments, **options):
    return {rule.name: rule for rule in every_threshold(*arguments, **options)}


def best_f1_threshold(scores, labels):
    return by_name(scores, labels, None)["best_f1"].value


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
    # A comparison in double precision gives the same decisions.
    assert f1_of(labels, [s > threshold for s in values.tolist()]) == best


def test_best_f1_in_half_precision():
    scores = torch.tensor([1.0, 1.0009765625], dtype=torch.float16)  # adjacent values
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
    # Flagging all would be best but is impossible; of what is possible, only the last is best.
    scores, labels = torch.tensor([-math.inf] * 3 + [0.0, 1.0]), torch.tensor([1, 1, 1, 0, 1])
    assert confusion(scores, labels, best_f1_threshold(scores, labels)).f1 == pytest.approx(2 / 5)
    scores, hopeless = torch.tensor([-math.inf, -math.inf, 1.0]), torch.tensor([1, 0, 0])
    assert confusion(scores, hopeless, best_f1_threshold(scores, hopeless)).f1 == 0.0


def conformal(scores, share=Fraction(95, 100)):
    """Return the quantile by exact fractions and NumPy, and the rate it stands for."""
    count = len(scores)
    rank = min(count, math.ceil((count + 1) * share))
    return np.quantile(scores, rank / count, method="inverted_cdf"), 1 - Fraction(rank, count + 1)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=250))
@settings(deadline=None, max_examples=200)
def test_calibrated_threshold_is_the_conformal_quantile(scores):
    value = calibrated_threshold(torch.tensor(scores, dtype=torch.float32))
    expected, rate = conformal(np.array(scores, dtype=np.float32))
    assert value == expected
    assert false_alarm_bound(len(scores)) == pytest.approx(float(rate), abs=1e-12)


@pytest.mark.parametrize("count", [1, 6, 18, 19, 20, 38, 39, 50, 99, 199])
def test_false_alarms_stay_below_five_percent_from_nineteen_scores_on(count):
    draws = np.random.default_rng(count).normal(size=(4_000, count + 1)).astype(np.float32)
    above = [row[-1] > calibrated_threshold(torch.from_numpy(row[:-1])) for row in draws]
    rate, bound = np.mean(above), false_alarm_bound(count)
    assert abs(rate - bound) < 4 * math.sqrt(bound * (1 - bound) / len(draws))
    assert bound <= 0.05 if count >= 19 else bound == pytest.approx(1 / (count + 1))


def test_calibrated_threshold_is_not_moved_by_rounding():
    scores = np.arange(1, 100)
    assert 100 * 0.55 > 55
    expected, _ = conformal(scores, Fraction(55, 100))
    assert calibrated_threshold(torch.from_numpy(scores).float(), 0.55) == expected == 55


def test_calibrated_threshold_of_infinite_scores():
    assert calibrated_threshold(torch.tensor([-math.inf, math.inf])) == math.inf
    assert calibrated_threshold(torch.tensor([-math.inf, -math.inf])) == -math.inf


@pytest.mark.parametrize("scores", [[], [1.0, math.nan]])
def test_calibrated_threshold_of_nothing_or_nan(scores):
    with pytest.raises(ValueError, match="wanted a coverage"):
        calibrated_threshold(torch.tensor(scores))


def test_counts_are_scikit_learns():
    rng = np.random.default_rng(3)
    labels, scores = rng.random(500) < 0.4, np.round(rng.normal(0, 3, 500)).astype(np.float32)
    for threshold in (-2.0, 0.0, 0.5, 4.0):
        counts = confusion(torch.from_numpy(scores), torch.from_numpy(labels), threshold)
        flagged = scores > threshold
        (tn, fp), (fn, tp) = confusion_matrix(labels, flagged)
        assert counts == Confusion(tp, fp, tn, fn)
        assert counts.accuracy == pytest.approx(accuracy_score(labels, flagged))
        assert counts.precision == pytest.approx(precision_score(labels, flagged))
        assert counts.recall == pytest.approx(recall_score(labels, flagged))
        assert counts.f1 == pytest.approx(f1_score(labels, flagged))
        specificity = recall_score(labels, flagged, pos_label=False)
        assert counts.false_alarms == pytest.approx(1 - specificity)
        assert counts.reasons() == {}


def test_undefined_ratios_say_why():
    nothing_flagged = confusion(torch.tensor([1.0, 2.0]), torch.tensor([0, 1]), 9.0)
    assert math.isnan(nothing_flagged.precision)
    assert (nothing_flagged.recall, nothing_flagged.f1) == (0.0, 0.0)
    assert set(nothing_flagged.reasons()) == {"precision"}
    nothing_defective = confusion(torch.tensor([1.0, 2.0]), torch.tensor([0, 0]), 1.5)
    assert nothing_defective.accuracy == 0.5
    assert set(nothing_defective.reasons()) == {"precision", "recall", "f1"}
    nothing_normal = confusion(torch.tensor([1.0, 2.0]), torch.tensor([1, 1]), 1.5)
    assert set(nothing_normal.reasons()) == {"false_alarms"}
    for counts in (nothing_defective, nothing_normal, nothing_flagged):
        assert all(math.isnan(getattr(counts, name)) for name in counts.reasons())


@pytest.fixture
def judged():
    rng = np.random.default_rng(5)
    labels = rng.random(120) < 0.4
    scores = (rng.normal(30, 3, 120) + 4 * labels).astype(np.float32)
    return scores, labels, rng.normal(30, 3, 40).astype(np.float32)


def best_in_a_loop(scores, labels, cuts):
    """The highest F1 of the cuts, tried one at a time in double precision."""
    return max(f1_score(labels, scores > cut, zero_division=0) for cut in cuts)


@pytest.mark.parametrize("decimals", [None, 0])
@pytest.mark.parametrize("candidates", [2, 7, 200])
def test_f1_over_candidates_is_the_loops_best(judged, decimals, candidates):
    scores, labels, calibration = judged
    scores = scores if decimals is None else np.round(scores, decimals)
    rules = by_name(*map(torch.from_numpy, (scores, labels, calibration)), candidates=candidates)
    cuts = {
        "f1_percentile": np.percentile(scores.astype(np.float64), np.linspace(0, 100, candidates)),
        "f1_uniform": np.linspace(scores.min(), scores.max(), candidates, dtype=np.float64),
    }
    for name, tried in cuts.items():
        tried = tried.astype(np.float32)
        value = rules[name].value
        assert np.float32(value) in tried
        best = best_in_a_loop(scores, labels, tried)
        assert f1_score(labels, scores > value, zero_division=0) == best
        assert str(candidates) in rules[name].about
        # The highest of the candidates with equal F1.
        higher = [cut for cut in tried if cut > value]
        assert not higher or best_in_a_loop(scores, labels, higher) < best


def test_youden_j_is_scikit_learns(judged):
    scores, labels, _ = judged
    fpr, tpr, _ = roc_curve(labels, scores)
    values, truth = torch.from_numpy(scores), torch.from_numpy(labels)
    counts = confusion(values, truth, by_name(values, truth, None)["youden_j"].value)
    first = (tpr - fpr).argmax()  # scikit-learn's cuts descend: the highest of equals
    false_positive_rate = counts.false_positives / (~labels).sum()
    assert (counts.recall, false_positive_rate) == pytest.approx((tpr[first], fpr[first]))


@given(both_classes)
@settings(deadline=None, max_examples=300)
def test_no_cut_has_a_larger_j(rows):
    scores, labels = map(list, zip(*rows, strict=True))
    values, truth = torch.tensor(scores, dtype=torch.float32), torch.tensor(labels)
    scores = values.tolist()

    def j(flagged):
        found = sum(f for f, y in zip(flagged, labels, strict=True) if y)
        false = sum(f for f, y in zip(flagged, labels, strict=True) if not y)
        positives = sum(labels)
        return found * (len(labels) - positives) - false * positives

    threshold = by_name(values, truth, None)["youden_j"].value
    possible = [-math.inf, *scores]  # score > t for every t there is
    assert j([s > threshold for s in scores]) == max(j([s > t for s in scores]) for t in possible)


def test_the_rules_of_normal_scores(judged):
    scores, labels, calibration = judged
    rules = by_name(*map(torch.from_numpy, judged[:2]), torch.from_numpy(calibration))
    exact = calibration.astype(np.float64)
    expected = {
        "calibrated_p95": conformal(exact)[0],
        "normal_p95": np.percentile(scores[~labels].astype(np.float64), 95),
        "sigma_3": exact.mean() + 3 * exact.std(ddof=1),
    }
    for name, value in expected.items():
        assert rules[name].value == pytest.approx(value, rel=1e-7)
        assert rules[name].value == float(np.float32(rules[name].value))


def test_a_rule_says_whether_it_saw_the_labels(judged):
    scores, labels, calibration = map(torch.from_numpy, judged)
    rules, flipped = by_name(scores, labels, calibration), by_name(scores, ~labels, calibration)
    moved = {name for name, rule in rules.items() if rule.value != flipped[name].value}
    flagged = {name for name, rule in rules.items() if rule.sees_test_labels}
    assert moved == flagged == set(rules) - HONEST
    assert list(rules) == [
        "f1_percentile",
        "f1_uniform",
        "best_f1",
        "youden_j",
        "normal_p95",
        "calibrated_p95",
        "sigma_3",
    ]


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1]])
def test_one_class_only_has_reasons(labels):
    rules = by_name(torch.tensor([1.0, 2.0, 3.0]), torch.tensor(labels), torch.arange(5.0))
    missing = {"f1_percentile", "f1_uniform", "best_f1", "youden_j"}
    missing |= {"normal_p95"} if labels[0] else set()
    assert {name for name, rule in rules.items() if math.isnan(rule.value)} == missing
    assert {name for name, rule in rules.items() if rule.reason} == missing
    assert "one class only" in rules["youden_j"].reason


@pytest.mark.parametrize(
    ("calibration", "missing", "reason"),
    [
        (None, HONEST, "no calibration split"),
        ([], HONEST, "no calibration split"),
        ([4.0], {"sigma_3"}, "one calibration score has no spread"),
        ([4.0, 5.0, math.inf], {"sigma_3"}, "a calibration score is infinite"),
    ],
)
def test_without_calibration_scores_the_honest_rules_say_so(calibration, missing, reason):
    scores = None if calibration is None else torch.tensor(calibration)
    rules = by_name(torch.tensor([1.0, 2.0]), torch.tensor([0, 1]), scores)
    assert {name for name, rule in rules.items() if math.isnan(rule.value)} == missing
    assert {rule.reason for rule in rules.values()} - {""} == {reason}


def test_infinite_scores_leave_no_uniform_candidate():
    scores, labels = torch.tensor([math.inf, -math.inf, math.inf]), torch.tensor([1, 0, 1])
    rules = by_name(scores, labels, None)
    assert rules["f1_uniform"].reason == "no finite score"
    assert confusion(scores, labels, rules["f1_percentile"].value).f1 == 1.0


def test_the_range_of_scores_may_overflow():
    scores, labels = torch.tensor([-1.7e308, 0.0, 1.7e308], dtype=torch.float64), torch.arange(3)
    value = by_name(scores, labels, None)["f1_uniform"].value
    assert confusion(scores, labels, value).f1 == 1.0


def test_nan_is_an_error():
    good, bad, labels = torch.ones(2), torch.tensor([1.0, math.nan]), torch.tensor([0, 1])
    with pytest.raises(ValueError, match="NaN"):
        every_threshold(bad, labels, good)
    with pytest.raises(ValueError, match="NaN"):
        every_threshold(good, labels, bad)
    with pytest.raises(ValueError, match="NaN"):
        confusion(bad, labels, 0.5)
    with pytest.raises(ValueError, match="NaN"):
        confusion(good, labels, math.nan)
    with pytest.raises(ValueError, match="at least two candidate"):
        every_threshold(good, labels, None, candidates=1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_chooses_the_same(judged):
    scores, labels, calibration = map(torch.from_numpy, judged)
    there = every_threshold(scores.cuda(), labels.cuda(), calibration.cuda())
    for one, other in zip(every_threshold(scores, labels, calibration), there, strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-6)
