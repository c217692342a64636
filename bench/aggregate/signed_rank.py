"""Wilcoxon's signed-rank test of many pairs, exact whatever ties and zeros there are.

SciPy's test is exact without them; with them, it takes a second per pair or is approximate.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def signed_rank_test(differences: Floats) -> tuple[Floats, Floats]:
    """Return W+ − W− and the exact two-sided p of each row of differences, both ``(P,)``.

    Zeros are dropped before the rest is ranked, as Wilcoxon did, and ties share their mean rank. p
    is the share of sign patterns, all equally likely, with a sum at least as far from zero; it is 1
    where every difference is zero.

    Args:
        differences: ``(P, N)``: pairs by blocks.

    Example:
        >>> balance, p = signed_rank_test(np.array([[1.0, 1.0, 2.0, 0.0, 3.0, 4.0, -5.0]]))
        >>> float(balance[0]), float(p[0])
        (9.0, 0.40625)
    """
    from scipy.stats import rankdata

    sizes = np.abs(differences)
    zeros = (sizes == 0).sum(1, keepdims=True)
    # Zeros have the lowest ranks, so without them the others are lower by their number. Doubled,
    # the mean ranks of ties are whole numbers.
    doubled = np.where(sizes > 0, 2 * (rankdata(sizes, axis=1) - zeros), 0).astype(np.int64)
    balance = (np.sign(differences).astype(np.int64) * doubled).sum(1)
    ordered = np.sort(doubled, axis=1).tolist()
    p = [
        _two_sided(tuple(filter(None, ranks)), int(abs(total)))
        for ranks, total in zip(ordered, balance, strict=True)
    ]
    return balance / 2, np.array(p, dtype=np.float64)


def _two_sided(ranks: tuple[int, ...], balance: int) -> float:
    """Return the chance that random signs give a sum at least this far from zero."""
    # The sum over positive signs is then at least half of the total and the balance.
    tail = _positive_sums(ranks)[(sum(ranks) + balance) // 2 :]
    return min(1.0, 2 * float(tail.sum()))


@lru_cache(maxsize=256)  # pairs without ties share one distribution
def _positive_sums(ranks: tuple[int, ...]) -> Floats:
    """Return the chance of each sum of the ranks with a positive sign, from 0 to their total.

    It is exact up to 53 ranks, the bits of a float: each chance is a multiple of 2 ** -N.
    """
    chances = np.zeros(sum(ranks) + 1)
    chances[0] = 1.0
    for rank in ranks:
        chances /= 2
        chances[rank:] += chances[:-rank]  # NumPy reads the old values, though the two overlap
    return chances
