"""Intervals and tests against SciPy and against counting by hand."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logit

from bench.aggregate.statistics import (
    Estimate,
    estimate,
    fewest_pairs,
    paired_test,
    pooled_sd,
    sign_flip_p,
)


@pytest.mark.parametrize("n", [2, 3, 5, 30])
def test_interval_is_scipys(n):
    values = np.random.default_rng(n).normal(0.95, 0.02, n)
    found = estimate(values.tolist())
    low, high = stats.t.interval(0.95, n - 1, loc=values.mean(), scale=stats.sem(values))
    assert (found.low, found.high, found.n) == (pytest.approx(low), pytest.approx(high), n)


def test_one_value_has_no_interval():
    assert estimate([0.9]) == Estimate(0.9, None, 1)
    assert estimate([0.9]).low == estimate([0.9]).high == 0.9


@pytest.mark.parametrize(
    "values",
    [(0.97, 0.99, 0.85), (0.999, 1.0, 0.98), (0.01, 0.0, 0.06), (0.2, 0.9, 0.95), (0.1, 1)],
)
def test_interval_of_shares_stays_inside_by_the_delta_method(values):
    found = estimate(values, share=True)
    mean, reach = np.mean(values), stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    assert not 0 <= mean - reach <= mean + reach <= 1
    # d logit(p) / dp = 1 / (p (1 − p)).
    ends = expit(logit(mean) + np.array([-1, 1]) * reach / (mean * (1 - mean)))
    assert (found.low, found.high) == pytest.approx(tuple(ends), rel=1e-12)
    assert 0 <= found.low < found.mean < found.high <= 1
    assert not found.symmetric
    assert found.mean == pytest.approx(mean)


@pytest.mark.parametrize(
    ("values", "share"),
    [((0.8, 0.81, 0.79), True), ((1.0, 1.0, 1.0), True), ((0.0, 0.0), True), ((3.0, 90.0), False)],
)
def test_other_intervals_are_symmetric(values, share):
    found = estimate(values, share=share)
    assert found.symmetric
    assert found.high - found.mean == pytest.approx(found.mean - found.low)


def test_missing_values_are_left_out_and_counted():
    assert estimate([None, math.nan, 0.5, math.inf, 0.7]).n == 2
    assert estimate([None, math.nan]) is None
    assert estimate([]) is None


def test_order_changes_no_bit():
    values = [0.1, 0.7, 0.3, 0.9000001, 0.2]
    assert len({estimate(order) for order in itertools.permutations(values)}) == 1


@pytest.mark.parametrize("n", [6, 9, 12])
def test_exact_sign_flip_is_scipys(n):
    values = np.random.default_rng(n).normal(0.01, 0.02, n)
    scipys = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=1e6)
    assert sign_flip_p(values.tolist()) == pytest.approx(scipys.pvalue, rel=1e-12)


def test_sign_flip_by_counting():
    # |±1 ±2 ±4| >= 5 for 4 of the 8 sign patterns: ±(1+4+2)=7, ±(4+2-1)=5.
    assert sign_flip_p([-1, 2, 4]) == 4 / 8
    # All of one sign: only that pattern and its mirror are as extreme.
    assert sign_flip_p([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) == 2 / 64
    assert sign_flip_p([0.0] * 6) == 1.0


def test_sums_equal_but_for_rounding_are_ties():
    # 0.1 + 0.2 - 0.3 is not 0 in floating point; every pattern of these is at least as extreme.
    assert sign_flip_p([0.1, 0.2, -0.3]) == 1.0


def test_many_categories_agree_with_the_t_test():
    values = np.random.default_rng(1).normal(0.004, 0.01, 27)
    p = sign_flip_p(values.tolist())
    assert p == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=0.01)
    assert p == sign_flip_p(values.tolist())


def test_paired_test_is_second_minus_first():
    first, second = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [0.91, 0.83, 0.72, 0.64, 0.55, 0.46]
    found = paired_test(first, second)
    scipys = stats.ttest_rel(second, first).confidence_interval()
    assert found.difference.mean == pytest.approx(0.035)
    assert found.difference.low == pytest.approx(scipys.low)
    assert found.difference.high == pytest.approx(scipys.high)
    assert found.p == 2 / 64


def test_five_categories_cannot_be_significant():
    assert sign_flip_p([1, 2, 3, 4, 5]) > 0.05 >= sign_flip_p([1, 2, 3, 4, 5, 6])
    assert fewest_pairs() == 6
    assert paired_test([0.1] * 5, [0.2] * 5).p is None


def test_paired_test_refuses_unequal_sides():
    with pytest.raises(ValueError):
        paired_test([0.1, 0.2], [0.1])
    with pytest.raises(ValueError, match="at least one category"):
        paired_test([], [])


def test_pooled_sd_is_the_root_mean_square_error_of_one_way_anova():
    rng = np.random.default_rng(3)
    groups = [rng.normal(center, 0.01, n).tolist() for center, n in ((0.9, 3), (0.5, 5), (0.7, 2))]
    squares = sum(((np.array(g) - np.mean(g)) ** 2).sum() for g in groups)
    assert pooled_sd([*groups, [0.3]]) == pytest.approx(math.sqrt(squares / (2 + 4 + 1)))
    assert pooled_sd([[0.3], [0.4]]) is None
