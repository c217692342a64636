"""Intervals and tests of classifiers' accuracies against SciPy and exact integers."""

import math

import pytest
import torch
from scipy.stats import binomtest

from bench.metrics.comparison import compare_classifiers
from bench.metrics.paired import mcnemar, wilson_interval


@pytest.mark.parametrize(("right", "images"), [(0, 7), (7, 7), (1, 1), (36, 40), (9999, 10000)])
@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_wilson_interval_is_scipys(right, images, confidence):
    interval = wilson_interval(right, images, confidence)
    expected = binomtest(right, images).proportion_ci(confidence, method="wilson")
    assert interval == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert (right == 0) == (interval[0] == 0)
    assert (right == images) == (interval[1] == 1)


@pytest.mark.parametrize(("right", "images"), [(0, 0), (3, 2), (-1, 2)])
def test_wilson_interval_of_impossible_counts_is_an_error(right, images):
    with pytest.raises(ValueError, match=f"found {right} of {images}"):
        wilson_interval(right, images)


@pytest.mark.parametrize("total", [0, 1, 2, 15, 1000, 1001, 4000])
def test_mcnemar_is_the_binomial_tail(total):
    for first in {0, total // 7, total * 2 // 5, total // 2, total}:
        tail = sum(math.comb(total, k) for k in range(min(first, total - first) + 1))
        expected = min(1.0, 2 * tail / 2**total)  # integers of any size: exact
        assert mcnemar(first, total - first) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_misfits_are_errors():
    with pytest.raises(ValueError, match="two boolean tensors"):
        compare_classifiers(torch.ones(3), torch.ones(3))
    with pytest.raises(ValueError, match="one shape"):
        compare_classifiers(torch.ones(3).bool(), torch.ones(4).bool())
