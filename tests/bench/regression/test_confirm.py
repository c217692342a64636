"""The stages of a night together against a simulation of them, run by run."""

from dataclasses import replace
from math import comb

import numpy as np
import pytest
from scipy.stats import mannwhitneyu
from scipy.stats import t as student

from bench.regression.confirm import check_block, run_order, separation_p, two_modes, verdict
from bench.regression.detectable import (
    RELEVANT,
    minimum_effect,
    plan_runs,
    planning_deviation,
    power,
)
from bench.regression.measures import QUALITY, SPEED
from bench.regression.robust import INEFFICIENCY
from bench.regression.screen import Baseline, Prior
from bench.regression.stages import Design, block_level, chance

LOOSE = replace(SPEED, alpha_screen=0.1, alpha_confirm=0.02)
"""Levels at which false alarms are frequent enough to be counted."""


def baseline_of(sd, degrees=12.0, count=1, center=4.0, runs=10):
    ones = np.ones(count)
    variance = np.broadcast_to(np.square(sd), count).astype(float)
    columns = center * ones, variance, variance, degrees * ones, ones / runs
    return Baseline(*columns, np.full(count, runs), Prior(0, 0))


def simulate(design, effect, floor, level, nights=400_000, after=1.0):
    """Return how often screen and blocks pass, with variances from their posterior."""
    rng = np.random.default_rng(4)
    variance = design.degrees / rng.chisquare(design.degrees, nights)
    passed = np.ones(nights, bool)
    spread = np.sqrt(design.uncertainty + 1 / design.tonight)
    actual = np.sqrt(design.uncertainty + after**2 / design.tonight)
    seen = effect + actual * np.sqrt(variance) * rng.standard_normal(nights)
    passed &= seen / spread > student.isf(design.measure.alpha_screen, design.degrees)
    own = 2 * design.runs - 2
    for _ in range(2):
        both = np.sqrt(variance * (1 + after**2) * INEFFICIENCY / design.runs)
        drop = effect + both * rng.standard_normal(nights)
        squares = [rng.chisquare(own / 2, nights), after**2 * rng.chisquare(own / 2, nights)]
        pooled = (design.degrees + variance * np.sum(squares, 0)) / (design.degrees + own)
        error = np.sqrt(pooled * 2 * INEFFICIENCY / design.runs)
        passed &= (drop / error > student.isf(level, design.degrees + own)) & (drop > floor)
    return passed.mean()


@pytest.mark.parametrize("degrees", [3.0, 12.0, 200.0])
def test_the_chances_of_all_stages_are_those_of_a_simulation(degrees):
    design = Design(LOOSE, degrees, 0.1, 3, 1)
    for effect, floor in ((0.0, 0.0), (2.0, 1.0), (4.0, 1.0)):
        expected = simulate(design, effect, floor, 0.1)
        found = chance(design, effect, floor, 0.1)
        assert found == pytest.approx(expected, abs=4 * np.sqrt(expected / 400_000))


@pytest.mark.parametrize("after", [0.8, 1.2])
def test_runs_after_a_drop_may_vary_less_or_more_than_before(after):
    design = Design(LOOSE, 12.0, 0.1, 4, 2)
    expected = simulate(design, 3.0, 1.0, 0.02, after=after)
    assert chance(design, 3.0, 1.0, 0.02, after) == pytest.approx(expected, abs=0.004)
    assert abs(chance(design, 3.0, 1.0, 0.02) - expected) > 0.01


def test_the_noise_of_a_share_goes_with_the_root_of_what_is_missing():
    rng = np.random.default_rng(0)
    before, after = 0.95, 0.92
    draws = [
        level + 0.001 * np.sqrt((1 - level) / (1 - before)) * rng.standard_normal(100_000)
        for level in (before, after)
    ]
    deviations = [QUALITY.transform(values).std() for values in draws]
    center = QUALITY.transform(before)
    spread = QUALITY.spread_after(center, center - QUALITY.transform(after))
    assert spread == pytest.approx(deviations[1] / deviations[0], abs=0.01)
    assert SPEED.spread_after(4.0, 0.1) == 1
    assert np.isfinite(QUALITY.spread_after(QUALITY.transform(1.0), np.inf))


@pytest.mark.parametrize(("degrees", "runs"), [(4.0, 3), (30.0, 6)])
def test_false_alarms_are_as_rare_as_promised(degrees, runs):
    design = Design(LOOSE, degrees, 0.1, runs, 1)
    promised = LOOSE.alpha_screen * LOOSE.alpha_confirm
    found = simulate(design, 0.0, 0.0, block_level(design))
    assert found == pytest.approx(promised, abs=4 * np.sqrt(promised / 400_000))


def test_the_minimum_detectable_effect_is_caught_as_often_as_promised():
    baseline = baseline_of(0.01)
    effect = minimum_effect(SPEED, baseline, 4)[0]
    assert power(SPEED, baseline, effect, 4)[0] == pytest.approx(0.95, abs=0.01)
    design = Design(SPEED, 12.0, 0.1, 4, 1)
    floor = RELEVANT * SPEED.step(4.0) / 0.01
    found = simulate(design, effect / 0.01, floor, block_level(design), 100_000)
    assert found == pytest.approx(0.95, abs=0.01)


def test_noisier_cases_take_more_runs_and_see_less():
    sds = np.array([0.002, 0.01, 0.02, 0.04])
    baseline = baseline_of(sds, count=4)
    runs = plan_runs(SPEED, baseline)
    assert runs[0] == SPEED.min_runs
    assert runs[-1] == SPEED.max_runs
    assert (np.diff(runs) >= 0).all()
    effects = minimum_effect(SPEED, baseline, runs)
    assert (np.diff(effects) > 0).all()
    assert RELEVANT * SPEED.step(4.0) < effects[0] < SPEED.step(4.0) < effects[-1]


def test_nothing_is_detectable_without_a_spread_or_a_run():
    unknown = baseline_of(np.nan, degrees=0.0)
    assert minimum_effect(SPEED, unknown, 4).tolist() == [np.inf]
    known = baseline_of(0.01)
    assert minimum_effect(SPEED, known, 4, tonight=0).tolist() == [np.inf]
    assert power(SPEED, known, 1.0, 4, tonight=0).tolist() == [0.0]


def test_the_planning_deviation_is_that_of_a_share():
    assert planning_deviation(0.02, 100) == pytest.approx(0.01)


def test_base_and_head_take_turns_and_no_drift_favors_one():
    for runs in range(2, 9):
        order = run_order(runs)
        assert order.count("A") == order.count("B") == runs
        places = np.arange(len(order))
        means = [places[[side == s for s in order]].mean() for side in "AB"]
        assert abs(np.diff(means)[0]) <= (0 if runs % 2 == 0 else 1 / runs)


def test_a_block_is_a_t_test_with_the_baselines_variance():
    rng = np.random.default_rng(1)
    base, head = 4 + 0.01 * rng.normal(size=(2, 200, 4))
    block = check_block(SPEED, baseline_of(0.01, 1e6, 200), np.full(200, 0.05), base, head)
    error = 0.01 * np.sqrt(2 * INEFFICIENCY / 4)
    assert block.error == pytest.approx(np.full(200, error), rel=0.01)
    assert block.drop == pytest.approx(base.mean(1) - head.mean(1), abs=0.01)
    assert (block.p < 0.05).mean() == pytest.approx(0.05, abs=0.04)


def runs_of(level, count=4, seed=0):
    return level + 0.004 * np.random.default_rng(seed).uniform(-1, 1, (1, count))


def verdict_on(base, head, sd=0.004):
    return verdict(SPEED, baseline_of(sd, 40.0), base, head)


def test_a_drop_in_two_blocks_is_a_regression():
    good, bad = [runs_of(4.0, seed=s) for s in (0, 1)], [runs_of(3.9, seed=s) for s in (2, 3)]
    first = verdict_on(good[:1], bad[:1])
    assert first.passed
    assert not first.regressed
    both = verdict_on(good, bad)
    assert both.regressed
    assert both.p < SPEED.alpha_confirm
    assert both.low < 1 - np.exp(-0.1) < both.high
    assert both.high - both.low < 0.02


def test_a_drop_in_only_one_block_is_no_regression():
    good = [runs_of(4.0, seed=s) for s in (0, 1)]
    assert not verdict_on(good, [runs_of(3.97), runs_of(4.0, seed=3)]).regressed
    assert not verdict_on(good[:1], [runs_of(4.0, seed=4)]).passed
    assert not verdict_on(good, [runs_of(4.1), runs_of(4.1, seed=3)]).regressed


def test_a_certain_drop_that_does_not_matter_is_no_regression():
    good, bad = [runs_of(4.0, 8, s) for s in (0, 1)], [runs_of(3.985, 8, s) for s in (2, 3)]
    result = verdict_on(good, bad, sd=0.001)
    assert result.p < SPEED.alpha_confirm
    assert not result.passed


def test_too_few_runs_are_invalid():
    base, head = runs_of(4.0), runs_of(3.9)
    head[:, 1:] = np.nan
    assert verdict_on([base], [head]).reason == "invalid"


def test_an_outlier_is_discounted():
    good, bad = [runs_of(4.0, seed=s) for s in (0, 1)], [runs_of(3.9, seed=s) for s in (2, 3)]
    good[0][0, 1] = 3.5
    assert verdict_on(good, bad).regressed


def test_two_speeds_rule_out_a_t_test():
    modes = np.array([[4.0, 3.9, 4.0, 3.9]])
    result = verdict_on([runs_of(4.0), runs_of(4.0)], [modes, modes])
    assert result.reason == "two modes"
    assert not result.regressed


MODES = np.array([[4.0, 3.9, 4.0, 3.9, 3.9, 4.0, 4.0, 3.9]])


@pytest.mark.parametrize(
    ("runs", "slower", "regressed"),
    [
        (8, 0.15, True),
        (8, 0.05, False),  # the modes of the two sides overlap
        (6, 0.15, True),
        (5, 0.15, False),  # five runs of either side are in this order once in 252 times
    ],
)
def test_two_speeds_that_are_all_lower_than_before_are_a_regression(runs, slower, regressed):
    base, head = ([MODES[:, :runs] - drop] * 2 for drop in (0.0, slower))
    result = verdict_on(base, head)
    assert result.regressed == regressed
    assert result.reason == ("" if regressed else "two modes")
    if regressed:
        assert result.p == pytest.approx(1 / comb(2 * runs, runs) ** 2)
        assert result.p < SPEED.alpha_confirm / 2


def test_only_one_overlapping_run_makes_two_speeds_undecided():
    head = MODES - 0.15
    head[0, 0] = 3.95
    result = verdict_on([MODES, MODES], [MODES - 0.15, head])
    assert (result.regressed, result.reason) == (False, "two modes")


def test_a_separation_that_does_not_matter_is_no_regression():
    base = np.array([[4.0, 4.0, 4.0, 4.0, 4.1, 4.1, 4.1, 4.1]])
    head = np.full((1, 8), 3.9999)
    separated = [
        bool(check_block(SPEED, baseline_of(0.05), [0.003], good, head).separated[0])
        for good in (base, np.full((1, 8), 4.0))
    ]
    assert separated == [True, False]


def test_the_order_of_all_runs_is_as_rare_as_the_exact_rank_test_says():
    base = MODES + np.arange(8) / 1e6  # without ties
    head = base - 0.15
    exact = mannwhitneyu(base[0], head[0], alternative="greater", method="exact").pvalue
    assert separation_p(base, head)[0] == pytest.approx(exact)
    head[0, :2] = np.nan
    assert separation_p(base, head)[0] == pytest.approx(1 / comb(14, 6))
    assert separation_p(base, head * np.nan)[0] == 1


def test_two_modes_without_a_change_alarm_no_more_often_than_the_level():
    rng = np.random.default_rng(0)
    level, count, runs = 1 / comb(6, 3), 20_000, 3
    base, head = (4.0 - 0.1 * rng.integers(0, 2, (count, runs)) for _ in "AB")
    noise = rng.normal(0, 0.01, (2, count, runs))
    found = separation_p(base + noise[0], head + noise[1])
    assert (found == level).mean() == pytest.approx(level, rel=0.1)


@pytest.mark.parametrize(
    ("row", "split"),
    [
        ([1.0, 1.01, 2.0, 2.01], True),
        ([1.0, 1.01, 1.02, 2.0], False),  # an outlier
        ([1.0, 1.01, 2.0, np.nan], False),
        ([1.0, 1.01, np.nan, 2.0, 2.01], True),
        ([1.0, 1.01, 1.04, 1.05], False),  # closer than a step
        ([0.0, 0.9, 1.5, 2.4], False),  # as wide as they are apart
    ],
)
def test_two_modes(row, split):
    assert two_modes([row], [0.05]).tolist() == [split]


def test_quality_is_reported_in_points():
    center = float(QUALITY.transform(0.95))
    good = [np.full((1, 4), center)] * 2
    bad = [QUALITY.transform(np.full((1, 4), 0.93))] * 2
    result = verdict(QUALITY, baseline_of(0.03, 40.0, center=center), good, bad)
    assert result.regressed
    assert result.drop == pytest.approx(0.02)
