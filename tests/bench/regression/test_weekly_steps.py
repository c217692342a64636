"""Levels of weekly medians: a step is found where one was planted, and none in noise."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from bench.regression.weekly_steps import MIN_WEEKS, weekly_levels

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)


def history(values):
    """Return times, three per week, and values from the values of the weeks."""
    times = [MONDAY + timedelta(days=2 * day, weeks=week) for week in range(len(values))
             for day in range(3)]  # fmt: skip
    return times, np.repeat(values, 3).tolist()


def test_a_planted_step_is_found_in_its_week():
    noise = np.random.default_rng(3).normal(0, 0.002, 26)
    before, after = weekly_levels(*history(0.95 - 0.01 * (np.arange(26) >= 15) + noise))
    assert before.first == MONDAY
    assert before.end == after.first == MONDAY + timedelta(weeks=15)
    assert (before.value, after.value) == pytest.approx((0.95, 0.94), abs=0.001)


def test_noise_has_one_level():
    counts = [
        len(weekly_levels(*history(0.95 + np.random.default_rng(seed).normal(0, 0.002, 26))))
        for seed in range(20)
    ]
    assert counts.count(1) >= 19


def test_values_without_noise_have_exact_steps():
    levels = weekly_levels(*history([0.9] * 6 + [0.91] * 6))
    assert [level.value for level in levels] == [0.9, 0.91]
    assert len(weekly_levels(*history([0.9] * 12))) == 1


def test_few_weeks_have_no_levels():
    assert weekly_levels(*history([0.9] * (MIN_WEEKS - 1))) == []
    assert weekly_levels([], []) == []


def test_one_bad_week_is_no_level():
    noise = np.random.default_rng(4).normal(0, 0.002, 26)
    assert len(weekly_levels(*history(0.95 - 0.02 * (np.arange(26) == 12) + noise))) == 1
