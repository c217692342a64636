"""The drift net against known run lengths."""

import numpy as np
import pytest

from bench.regression.drift import ALLOWANCE, LIMIT, cusum, drift_score


def run_lengths(shift, limit, series, nights):
    scores = np.random.default_rng(2).normal(shift, 1, (series, nights))
    crossed = cusum(scores) >= limit
    assert crossed.any(1).all()
    return crossed.argmax(1) + 1


@pytest.mark.parametrize(("shift", "expected"), [(1.0, 8.38), (2.0, 3.34)])
def test_run_lengths_are_the_published_ones(shift, expected):
    # Montgomery, Introduction to Statistical Quality Control, table 9.3: k = 1/2, h = 4.
    found = run_lengths(shift, 4.0, 4000, 150)
    assert found.mean() == pytest.approx(expected, rel=0.03)


def test_sums_continue_where_they_were():
    scores = np.random.default_rng(3).normal(size=(5, 40))
    whole = cusum(scores)
    half = cusum(scores[:, :25])
    assert cusum(scores[:, 25:], half[:, -1]) == pytest.approx(whole[:, 25:])
    assert (whole >= 0).all()


def test_a_creeping_decline_is_reported_and_one_outlier_is_not():
    creep = drift_score(np.full((1, 12), 0.1))
    assert cusum(creep)[0, -1] >= LIMIT
    outlier = drift_score(np.array([[0.5, 1e-30, 0.5, 0.5, np.nan]]))
    assert cusum(outlier).max() == pytest.approx(3 - ALLOWANCE)
