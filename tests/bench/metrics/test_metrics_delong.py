"""DeLong's variance against its definition over all pairs, a published table and simulation."""

import math

import numpy as np
import pytest
import torch
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from bench.metrics.delong import auroc_interval, auroc_test


def placements(scores, labels):
    """V10 and V01 of DeLong et al. 1988, section 3, from all pairs in float64."""
    positives, negatives = scores[labels][:, None], scores[~labels][None]
    wins = (positives > negatives) + 0.5 * (positives == negatives)
    return wins.mean(1), wins.mean(0)


def covariance(first, second, labels):
    pairs = [placements(scores, labels) for scores in (first, second)]
    return sum(np.cov(*group, ddof=1) / len(group[0]) for group in zip(*pairs, strict=True))


def draw(rng, kind):
    positives, negatives = int(rng.integers(2, 40)), int(rng.integers(2, 40))
    labels = np.r_[np.ones(positives, bool), np.zeros(negatives, bool)]
    rng.shuffle(labels)
    shared = rng.normal(0, 1, len(labels))
    first, second = (shared + rng.normal(labels, 1) for _ in range(2))
    if kind == "ties":
        first, second = np.round(first), np.round(second * 2)
    elif kind == "infinities":
        first[rng.random(len(first)) < 0.2] = np.inf
        second[rng.random(len(first)) < 0.2] = -np.inf
    return first, second, labels


def tensors(*arrays):
    return [torch.from_numpy(array) for array in arrays]


@pytest.mark.parametrize("kind", ["plain", "ties", "infinities"])
@pytest.mark.parametrize("seed", range(40))
def test_variance_and_test_are_the_definitions(kind, seed):
    first, second, labels = draw(np.random.default_rng(seed), kind)
    matrix = covariance(first, second, labels)
    one, other = (auroc_interval(*tensors(scores, labels)) for scores in (first, second))
    ranked = np.nan_to_num(first, posinf=1e9, neginf=-1e9)
    assert one.value == pytest.approx(roc_auc_score(labels, ranked), abs=1e-12)
    error = math.sqrt(matrix[0, 0] + matrix[1, 1] - 2 * matrix[0, 1])
    found, p = auroc_test(*tensors(first, second, labels))
    assert found.value == pytest.approx(other.value - one.value, abs=1e-12)
    assert p == pytest.approx(2 * norm.sf(abs(found.value) / error), abs=1e-9)
    assert (found.low, found.high) == pytest.approx(
        norm.interval(0.95, found.value, error), abs=1e-9
    )
    for each, variance in zip((one, other), matrix.diagonal(), strict=True):
        if 0 < each.value < 1:
            reach = math.sqrt(variance) / (each.value * (1 - each.value))
            ends = expit(norm.interval(0.95, logit(each.value), reach))
            assert (each.low, each.high) == pytest.approx(ends, abs=1e-9)


def test_the_published_table():
    """109 CT images of Hanley & McNeil 1982, table I: AUROC .893; DeLong's error is .0307."""
    ratings = {0: (33, 6, 6, 11, 2), 1: (3, 2, 2, 11, 33)}
    rows = [(r, label) for label in ratings for r, n in enumerate(ratings[label]) for _ in range(n)]
    scores, labels = torch.tensor(rows).unbind(1)
    found = auroc_interval(scores.float(), labels)
    assert found.value == pytest.approx(0.8932, abs=5e-5)
    width = logit(found.high) - logit(found.low)  # the interval is normal on the logit scale
    error = width / (2 * norm.ppf(0.975)) * found.value * (1 - found.value)
    assert error == pytest.approx(0.0307, abs=5e-5)


def test_the_interval_covers_the_truth():
    """500 simulated test sets of 40 normal and 60 defective images, true AUROC .8."""
    rng = np.random.default_rng(1)
    shift = math.sqrt(2) * norm.ppf(0.8)
    labels = np.r_[np.ones(60, bool), np.zeros(40, bool)]
    covered = rejected = 0
    for _ in range(500):
        # Independent noise and noise shared by both models, as for two models on one image.
        shared = rng.normal(0, math.sqrt(0.5), 100)
        first, second = (
            shift * labels + shared + rng.normal(0, math.sqrt(0.5), 100) for _ in range(2)
        )
        found = auroc_interval(*tensors(first, labels))
        covered += found.low <= 0.8 <= found.high
        rejected += auroc_test(*tensors(first, second, labels))[1] < 0.05
    assert 0.92 <= covered / 500 <= 0.98
    assert 0.02 <= rejected / 500 <= 0.08


def test_the_test_has_power_where_the_models_agree_mostly():
    rng = np.random.default_rng(2)
    labels = np.arange(300) % 2 == 0
    first = rng.normal(1.0 * labels, 1)
    second = first + 0.5 * labels + rng.normal(0, 0.05, 300)
    found, p = auroc_test(*tensors(first, second, labels))
    one, other = (auroc_interval(*tensors(scores, labels)) for scores in (first, second))
    assert one.high > other.low  # apart they overlap; paired they do not
    assert p < 1e-6
    assert 0 < found.low < found.value < found.high


@pytest.mark.parametrize(("positives", "negatives"), [(1, 1), (2, 9), (20, 63)])
def test_perfect_separation_has_the_exact_interval(positives, negatives):
    scores = torch.arange(positives + negatives).float()
    labels = scores >= negatives
    found = auroc_interval(scores, labels)
    pairs = min(positives, negatives)
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low**pairs == pytest.approx(0.025)
    assert "perfect separation" in found.reason
    worst = auroc_interval(-scores, labels)
    assert (worst.value, worst.low, worst.high) == (0.0, 0.0, pytest.approx(1 - found.low))


def test_perfect_separation_is_as_rare_as_its_interval_says():
    """With the AUROC at the interval's lower end all pairs are won at most 2.5 % of the time."""
    rng = np.random.default_rng(3)
    low = auroc_interval(torch.arange(10).float(), torch.arange(10) >= 5).low
    shift = math.sqrt(2) * norm.ppf(low)
    normal, defective = rng.normal(0, 1, (20_000, 5)), rng.normal(shift, 1, (20_000, 5))
    perfect = (defective.min(1) > normal.max(1)).mean()
    assert 0 < perfect <= 0.025


@pytest.mark.parametrize(
    ("labels", "value", "reason"),
    [
        ([0, 0, 0, 0], math.nan, "one class only"),
        ([1, 1, 1, 1], math.nan, "one class only"),
        ([0, 0, 1, 0], 2 / 3, "one defective image"),
        ([1, 0, 1, 1], 2 / 3, "one normal image"),
    ],
)
def test_too_few_images_of_a_class_have_a_reason(labels, value, reason):
    scores, labels = torch.arange(4.0), torch.tensor(labels)
    interval = auroc_interval(scores, labels)
    difference, p = auroc_test(scores, -scores, labels)
    assert interval.value == pytest.approx(value, nan_ok=True)
    assert all(map(math.isnan, (interval.low, interval.high, difference.low, p)))
    assert interval.reason.startswith(reason)
    assert difference.reason == interval.reason


def test_rankings_without_spread_say_so():
    labels, scores = torch.arange(6) > 2, torch.tensor([1.0, 4.0, 2.0, 3.0, 0.0, 5.0])
    constant = auroc_interval(torch.ones(6), labels)
    assert (constant.value, constant.low) == (0.5, pytest.approx(math.nan, nan_ok=True))
    assert "no spread" in constant.reason
    same, p = auroc_test(scores, scores.exp(), labels)
    assert (same.value, p, same.reason) == (0.0, 1.0, "both models rank every image alike")
    reversed_, p = auroc_test(torch.arange(6.0), -torch.arange(6.0), labels)
    assert (reversed_.value, math.isnan(p)) == (-1.0, True)
    assert "no spread" in reversed_.reason
    with pytest.raises(ValueError, match="NaN"):
        auroc_test(scores, torch.full((6,), math.nan), labels)
