"""The exact signed-rank test against all patterns of signs and against SciPy."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from bench.aggregate.signed_rank import signed_rank_test


def by_enumeration(differences):
    """W+ − W− and the share of all sign patterns that are at least as far from zero."""
    own = differences[differences != 0]
    ranks = stats.rankdata(np.abs(own))
    every = np.array(list(product([-1, 1], repeat=len(own)))) @ ranks
    balance = np.sign(own) @ ranks
    return balance, np.mean(np.abs(every) >= abs(balance))


@pytest.mark.parametrize("blocks", [1, 2, 6, 9, 12])
@pytest.mark.parametrize("largest", [1, 3, 20])
def test_ties_and_zeros_are_counted_over_all_sign_patterns(blocks, largest):
    differences = np.random.default_rng(16).integers(-largest, largest + 1, (8, blocks)) / 8
    differences[0] = 0
    balance, p = signed_rank_test(differences)
    expected = np.array([by_enumeration(own) for own in differences])
    np.testing.assert_array_equal(np.stack([balance, p], axis=1), expected)


@pytest.mark.parametrize("blocks", [6, 13, 14, 15, 30, 50, 80])
def test_without_ties_it_is_scipys_exact_test(blocks):
    differences = np.random.default_rng(16).normal(0.4, 1, (5, blocks))
    expected = stats.wilcoxon(differences, axis=1, method="exact").pvalue
    assert signed_rank_test(differences)[1] == pytest.approx(expected, rel=1e-12)
