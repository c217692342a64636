"""McNemar's test against SciPy's binomial test and chi-square distribution."""

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, chi2

from bench.metrics.mcnemar import EXACT_LIMIT, mcnemar, mcnemar_test


def test_every_small_table_is_scipys():
    for first in range(16):
        for second in range(16):
            expected = binomtest(first, first + second).pvalue if first + second else 1.0
            found = mcnemar(first, second)
            assert found.p == pytest.approx(expected, abs=1e-12)
            assert found.method == "exact"


@pytest.mark.parametrize(("first", "second"), [(480, 520), (430, 570), (1000, 0), (0, 3)])
def test_larger_tables_are_scipys(first, second):
    assert mcnemar(first, second).p == pytest.approx(binomtest(first, first + second).pvalue)


@pytest.mark.parametrize(("first", "second"), [(10, 25), (59, 6), (700, 800), (3000, 2800)])
def test_chi_square_is_scipys(first, second):
    statistic = (abs(first - second) - 1) ** 2 / (first + second)
    found = mcnemar(first, second, exact_limit=0)
    assert found.p == pytest.approx(chi2.sf(statistic, 1))
    assert found.method == "chi-square"


def test_chi_square_of_an_even_split_is_no_difference():
    assert mcnemar(700, 700).p == mcnemar(701, 700).p == 1.0


@pytest.mark.parametrize("total", [EXACT_LIMIT + 1, 4000])
def test_beyond_the_limit_both_agree(total):
    for first in range(total // 2 - 100, total // 2, 7):
        approximate, exact = mcnemar(first, total - first), mcnemar(first, total - first, 10**9)
        assert (approximate.method, exact.method) == ("chi-square", "exact")
        assert approximate.p == pytest.approx(exact.p, abs=1e-4)


def test_counts_come_from_the_images():
    rng = np.random.default_rng(0)
    first, second = rng.random(500) < 0.8, rng.random(500) < 0.7
    found = mcnemar_test(torch.from_numpy(first), torch.from_numpy(second))
    assert (found.only_first, found.only_second) == (
        sum(a and not b for a, b in zip(first, second, strict=True)),
        sum(b and not a for a, b in zip(first, second, strict=True)),
    )
    expected = binomtest(found.only_first, found.only_first + found.only_second).pvalue
    assert found.p == pytest.approx(expected)


def test_misfits_are_errors():
    with pytest.raises(ValueError, match="two boolean tensors"):
        mcnemar_test(torch.ones(3), torch.ones(3))
    with pytest.raises(ValueError, match="one shape"):
        mcnemar_test(torch.ones(3).bool(), torch.ones(4).bool())
