"""Confirming blocks with pairs of seeds, against SciPy and by simulation."""

import numpy as np
import pytest
from scipy import stats

from bench.regression.confirm import check_block, verdict
from bench.regression.detectable import block_levels
from bench.regression.measures import QUALITY, SPEED
from bench.regression.screen import Baseline, Prior

SD = 0.3
NAMES = ("center", "variance", "cautious", "degrees", "uncertainty", "runs")


def baseline(degrees=10.0):
    one = np.ones(1)
    variance = SD**2 * one
    columns = 2.0 * one, variance, variance, degrees * one, 0.2 * one, np.array([5])
    return Baseline(*columns, Prior(0, 0))


def block(base, head):
    levels = block_levels(QUALITY, baseline(), max(int(np.isfinite(base).sum()), 2))
    return check_block(QUALITY, baseline(), levels, base, head)


def sides(rng, drop, correlation, n=8):
    shared = rng.normal(0, SD, (1, n)) * np.sqrt(correlation)
    own = rng.normal(0, SD, (2, 1, n)) * np.sqrt(1 - correlation)
    return 2 + shared + own[0], 2 - drop + shared + own[1]


def test_the_paired_p_is_scipys_doubled():
    base, head = sides(np.random.default_rng(0), 0.2, 0.99)
    found = block(base, head)
    wanted = stats.ttest_rel(base[0], head[0], alternative="greater").pvalue
    assert found.paired
    assert found.p == pytest.approx([2 * wanted])


def test_a_shift_far_below_the_spread_of_seeds_is_seen_where_they_pair():
    rng = np.random.default_rng(1)
    blocks = [sides(rng, 0.15, 0.995) for _ in range(2)]
    base, head = zip(*blocks, strict=True)
    found = verdict(QUALITY, baseline(), base, head)
    assert found.regressed
    assert found.paired
    assert found.low < found.drop < found.high
    apart = [sides(rng, 0.15, 0.0) for _ in range(2)]
    assert not verdict(QUALITY, baseline(), *zip(*apart, strict=True)).regressed


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_equal_sides_pass_a_block_no_more_often_than_promised(correlation):
    rng = np.random.default_rng(2)
    passed = sum(bool(block(*sides(rng, 0.0, correlation)).passed[0]) for _ in range(3000))
    assert passed <= stats.binom.isf(1e-3, 3000, QUALITY.alpha_block)


def test_equal_runs_are_no_loss_and_an_exact_shift_is():
    base = np.full((1, 4), 2.0) + np.arange(4) / 10
    assert block(base, base).p == 1
    assert block(base, base - 0.25).p < 1e-6


def test_two_modes_hold_for_speeds_alone():
    base, head = np.full((1, 8), 2.0), np.array([[2.0] * 4 + [1.8] * 4])
    assert verdict(SPEED, baseline(), [base], [head]).reason == "two modes"
    assert verdict(QUALITY, baseline(), [base], [head]).reason == ""


def test_a_side_without_runs_is_invalid():
    base = np.full((1, 3), 2.0)
    assert verdict(QUALITY, baseline(), [base], [base * np.nan]).reason == "invalid"


def test_pairs_of_one_case_say_nothing_of_another():
    rng = np.random.default_rng(3)
    alike, apart = sides(rng, 0.2, 0.99), sides(rng, 0.0, 0.0)
    both = [np.concatenate(rows) for rows in zip(alike, apart, strict=True)]
    two = Baseline(*(np.repeat(getattr(baseline(), name), 2) for name in NAMES), Prior(0, 0))
    found = check_block(QUALITY, two, block_levels(QUALITY, two, 8), *both)
    assert found.p == pytest.approx([block(*alike).p[0], block(*apart).p[0]])
    assert found.paired.tolist() == [block(*alike).paired[0], block(*apart).paired[0]]
