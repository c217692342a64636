"""Which of several rows differ: tests of all pairs at once, and the ranks that they allow.

A rank is a range: at best, a row is one place below the rows shown to be better than it; at worst,
one place above the rows shown to be worse. All pairs are tested and corrected together (Holm
1979, Shaffer 1986), so that with 95 % confidence every true rank is in its range. To test the best
row alone against the others would save nothing: the same data chose it, among all pairs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.aggregate.signed_rank import signed_rank_test
from bench.aggregate.statistics import SIGNIFICANCE

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PairTests:
    """Some rows tested against each other.

    Attributes:
        p: ``(K, K)`` p of no difference, corrected for the number of pairs; 1 on the diagonal and
            where nothing was tested.
        better: ``(K, K)`` booleans: the row is shown to be better than the column.
        family: Number of pairs that the correction is for: those that may be equal together.
    """

    p: Floats
    better: npt.NDArray[np.bool_]
    family: int

    def ranges(self) -> list[tuple[int, int]]:
        """Return the best and the worst rank that each row may have."""
        count = len(self.p)
        above, below = self.better.sum(0), self.better.sum(1)
        return [(1 + int(a), count - int(b)) for a, b in zip(above, below, strict=True)]


def holm(p: Sequence[float], together: int | None = None) -> list[float]:
    """Return p corrected for their number by Holm's step-down procedure.

    NaN, a test that could not be made, counts in the number and stays unrejected (1).

    Args:
        p: Uncorrected.
        together: How many of the hypotheses can be true together; by default all of them.

    Example:
        >>> holm([0.01, 0.04, 0.03]), holm([0.01, 0.04, 0.03], 2)
        ([0.03, 0.06, 0.06], [0.02, 0.06, 0.06])
    """
    values = np.where(np.isnan(p), 1.0, np.asarray(p, dtype=np.float64))
    order = np.argsort(values, kind="stable")
    left = np.arange(len(values), 0, -1)
    steps = values[order] * (left if together is None else np.minimum(left, together))
    corrected = np.empty_like(steps)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(value) for value in corrected]


def over_images(
    means: Sequence[float],
    groups: Sequence[Sequence[Floats]],
    seed_errors: Sequence[tuple[float, int]],
) -> Floats:
    """Return ``(K, K)`` p of paired tests on the same images, including the spread over seeds.

    The variance of a difference is DeLong's, of the placements averaged over seeds, plus each
    side's own variance over seeds; degrees of freedom are Welch and Satterthwaite's.

    Args:
        means: The metric of each row, averaged over its seeds.
        groups: By row and group of images: ``(N,)`` contributions averaged over seeds.
        seed_errors: Squared standard error over seeds and number of seeds of each row; zero and
            one where a row has no randomness.

    Example:
        >>> right = [np.array([1.0] * 8 + [0.0] * 8), np.array([0.0] * 8 + [1.0] * 8)]
        >>> p = over_images([0.5, 0.5], [[right[0]], [right[1]]], [(0.0, 1)] * 2)
        >>> float(p[0, 1])
        1.0
    """
    terms = []
    for group in zip(*groups, strict=True):
        stacked = np.stack(group)
        spread = np.atleast_2d(np.cov(stacked))
        own = np.diagonal(spread)
        variance = np.maximum(own[:, None] + own[None, :] - 2 * spread, 0.0)
        terms.append((variance / stacked.shape[1], stacked.shape[1] - 1.0))
    return _p_of_terms(means, terms, seed_errors)


def over_intervals(
    means: Sequence[float], errors: Sequence[float], seed_errors: Sequence[tuple[float, int]]
) -> Floats:
    """Return ``(K, K)`` p of tests from each row's own standard error over images.

    Scores of two models on the same images are correlated, which this test ignores: it is the more
    conservative test, never the more powerful one.

    Args:
        means: The metric of each row.
        errors: Standard error over images of each row.
        seed_errors: As for `over_images`.
    """
    squares = np.square(errors)
    return _p_of_terms(means, [(squares[:, None] + squares[None, :], math.inf)], seed_errors)


def _p_of_terms(
    means: Sequence[float],
    terms: Sequence[tuple[Floats, float]],
    seed_errors: Sequence[tuple[float, int]],
) -> Floats:
    from scipy.special import stdtr

    values = np.asarray(means, dtype=np.float64)
    total = np.zeros((len(values), len(values)))
    fourth = np.zeros_like(total)
    for variance, degrees in terms:
        total += variance
        fourth += variance**2 / degrees
    squares = np.array([square for square, _ in seed_errors])
    by_freedom = squares**2 / np.array([max(count - 1, 1) for _, count in seed_errors])
    total += squares[:, None] + squares[None, :]
    fourth += by_freedom[:, None] + by_freedom[None, :]
    difference = np.abs(values[:, None] - values[None, :])
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = np.where(fourth > 0, total**2 / fourth, 1e12)
        p: Floats = 2 * stdtr(freedom, -difference / np.sqrt(total))
    # Without any spread nothing can be tested, however far apart the two are.
    return np.where(total > 0, p, 1.0)


def over_blocks(values: Floats) -> Floats:
    """Return ``(K, K)`` p of Wilcoxon's signed-rank test of each pair over blocks.

    The test is exact; blocks in which the two are equal are dropped (see `signed_rank_test`).

    A row that loses a little in most blocks and wins a lot in few may have the higher mean and the
    lower signed ranks. Then neither is shown to be better, and p is 1.

    Args:
        values: ``(K, N)``: rows by blocks, such as categories.
    """
    count, means = len(values), values.mean(1)
    first, second = np.triu_indices(count, 1)
    balance, pair_p = signed_rank_test(values[first] - values[second])
    pair_p[np.sign(balance) != np.sign(means[first] - means[second])] = 1.0
    p = np.ones((count, count))
    p[first, second] = p[second, first] = pair_p
    return p


def all_pairs(p: Floats, means: Sequence[float] | Floats, together: int | None = None) -> PairTests:
    """Correct the p of all pairs together.

    Args:
        p: ``(K, K)`` uncorrected.
        means: By row; a higher one is better.
        together: How many pairs can be equal together; by default all of them.
    """
    first, second = np.triu_indices(len(p), 1)
    corrected = np.ones_like(p)
    corrected[first, second] = holm(p[first, second].tolist(), together)
    corrected[second, first] = corrected[first, second]
    values = np.asarray(means)
    better = (corrected < SIGNIFICANCE) & (values[:, None] > values[None, :])
    return PairTests(corrected, better, together or len(first))


def equal_pairs(rows: int) -> int:
    """Return how many pairs can be equal together once Friedman's test has found a difference.

    Then one row at least differs from the others, so the pairs of the others remain (Shaffer 1986,
    with Friedman's as the first test). Up to three rows, all pairs count: two have no such test,
    and three would rest on it alone, whose p is approximate over few blocks.

    Example:
        >>> equal_pairs(2), equal_pairs(3), equal_pairs(15)
        (1, 3, 91)
    """
    return (rows - 1) * (rows - 2 if rows > 3 else rows) // 2


def fewest_blocks(comparisons: int) -> int:
    """Return the fewest blocks with which Wilcoxon's test can reach significance after Holm.

    Only blocks in which two rows differ count: a pair with fewer of them is not shown to differ.

    Example:
        >>> fewest_blocks(1), fewest_blocks(3), fewest_blocks(45)
        (6, 7, 11)
    """
    # The lowest p of N blocks is that of one of two sign patterns: 2 / 2 ** N.
    return math.ceil(math.log2(2 * comparisons / SIGNIFICANCE))


def friedman_p(values: Floats) -> float:
    """Return the p of Friedman's test that no row differs, over blocks.

    Args:
        values: ``(K, N)``: at least three rows by blocks.
    """
    from scipy.stats import friedmanchisquare

    if (values == values[:1]).all():
        return 1.0  # SciPy divides by zero
    return float(friedmanchisquare(*values).pvalue)


def average_ranks(values: Floats) -> Floats:
    """Return each row's rank averaged over blocks; the highest value has rank 1, ties share.

    Example:
        >>> average_ranks(np.array([[0.9, 0.8], [0.7, 0.8]])).tolist()
        [1.25, 1.75]
    """
    from scipy.stats import rankdata

    ranks: Floats = rankdata(-values, axis=0).mean(1)
    return ranks


def critical_difference(rows: int, blocks: int, significance: float = SIGNIFICANCE) -> float:
    """Return the difference of average ranks above which two rows differ by Nemenyi's test.

    Demšar 2006, equation 4: q √(k (k + 1) / 6 N), with q the studentized range's quantile over √2.

    Example:
        >>> round(critical_difference(4, 14), 2)
        1.25
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - significance, rows, math.inf)) / math.sqrt(2)
    return q * math.sqrt(rows * (rows + 1) / (6 * blocks))
