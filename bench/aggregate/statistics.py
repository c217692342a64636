"""Intervals over seeds and tests over categories.

Two spreads are never mixed: seeds say how repeatable one configuration is, categories say how well
a difference between two configurations generalizes to other data.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

EXACT_LIMIT = 16
"""Maximum number of differences to try every sign pattern of: 2^16 sums take milliseconds."""

RESAMPLES = 19_999
"""Random sign patterns above `EXACT_LIMIT`: the smallest p they can give is 1e-4."""

SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % confidence interval.

    Attributes:
        mean: Arithmetic mean.
        half_width: Half the interval's width, Student's t with ``n - 1`` degrees of freedom; None
            for ``n = 1``, where no spread is known; 0 where there is none.
        n: How many values it is the mean of.
        share: Whether the values are shares of 1, so that intervals stay in [0, 1].
    """

    mean: float
    half_width: float | None
    n: int
    share: bool = False

    @property
    def symmetric(self) -> bool:
        """Return whether mean ± half width is the interval."""
        reach = self.half_width or 0.0
        return not self.share or not 0 < self.mean < 1 or reach <= min(self.mean, 1 - self.mean)

    @property
    def low(self) -> float:
        """Lower end of the interval; the mean itself where there is none."""
        return self._end(-1)

    @property
    def high(self) -> float:
        """Upper end of the interval; the mean itself where there is none."""
        return self._end(1)

    def _end(self, side: int) -> float:
        reach = side * (self.half_width or 0.0)
        if self.symmetric:
            return self.mean + reach
        # On the logit scale, where the error grows by the derivative, as in DeLong's interval.
        logit = math.log(self.mean / (1 - self.mean)) + reach / (self.mean * (1 - self.mean))
        return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0


def estimate(values: Iterable[float | None], *, share: bool = False) -> Estimate | None:
    """Return the mean ± 95 % CI of the values that exist; None if there are none.

    None, NaN and infinity count as missing. The result does not depend on their order.

    Args:
        values: One value per run.
        share: Whether they are shares of 1: an interval that would leave [0, 1] is then one on the
            logit scale.
    """
    present = [value for value in values if value is not None and math.isfinite(value)]
    if not present:
        return None
    n = len(present)
    mean = statistics.fmean(present)
    if n == 1:
        return Estimate(mean, None, 1, share)
    # Exact sums: the order changes no bit, and statistics.stdev's fractions are slow.
    squares = math.fsum((value - mean) ** 2 for value in present)
    error = math.sqrt(squares / (n - 1) / n)
    return Estimate(mean, _t_quantile(n - 1) * error, n, share)


def pooled_sd(groups: Iterable[Sequence[float]]) -> float | None:
    """Return the standard deviation within groups, pooled by degrees of freedom.

    Given one group of seeds per category and side, this is the seed spread, separate from the
    spread between categories. None when no group has two values.
    """
    repeated = [group for group in groups if len(group) > 1]
    if not repeated:
        return None
    squares = math.fsum((len(group) - 1) * statistics.variance(group) for group in repeated)
    return math.sqrt(squares / sum(len(group) - 1 for group in repeated))


@dataclass(frozen=True)
class PairedTest:
    """Differences between two sides, one per category.

    Attributes:
        difference: Mean difference (second side minus first) with its t interval over categories.
        p: Two-sided p of the sign-flip test; None when ``n`` is too small to reach significance.
    """

    difference: Estimate
    p: float | None


def fewest_pairs() -> int:
    """Return the fewest pairs with which an exact two-sided sign-flip test can be significant."""
    return math.ceil(math.log2(2 / SIGNIFICANCE))


def paired_test(first: Sequence[float], second: Sequence[float]) -> PairedTest:
    """Test whether the second side's values differ from the first's.

    Args:
        first: One value per category, seeds already averaged.
        second: The same categories, in the same order.

    Raises:
        ValueError: No categories, or not the same number of them.
    """
    differences = [b - a for a, b in zip(first, second, strict=True)]
    difference = estimate(differences)
    if difference is None:
        raise ValueError("A paired test needs at least one category that both sides have.")
    enough = len(differences) >= fewest_pairs()
    return PairedTest(difference, sign_flip_p(differences) if enough else None)


def sign_flip_p(differences: Sequence[float]) -> float:
    """Return the two-sided p of the mean difference under random signs (Fisher's test).

    If the sides are exchangeable, each difference is as likely to be negative as positive. Exact
    up to `EXACT_LIMIT` differences, above it from `RESAMPLES` patterns of a fixed generator.
    """
    import numpy as np

    values = np.asarray(differences, dtype=np.float64)
    if values.size > EXACT_LIMIT:
        from scipy.stats import permutation_test

        outcome = permutation_test(
            (values,),
            np.mean,
            permutation_type="samples",
            n_resamples=RESAMPLES,
            rng=np.random.default_rng(0),
        )
        return float(outcome.pvalue)
    patterns = np.arange(2**values.size)[:, None] >> np.arange(values.size)
    sums = (1 - 2 * (patterns & 1)) @ values
    # Patterns that give the same sum up to rounding count as equally extreme.
    tolerance = 1e-9 * np.abs(values).sum()
    return float(np.mean(np.abs(sums) >= abs(values.sum()) - tolerance))


def _t_quantile(degrees: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.975))
