"""Location and scale that single outlying runs do not move; rows are cases, NaN is missing."""

from functools import cache

import numpy as np
from scipy.special import polygamma, psi
from scipy.stats import norm

from bench.regression.measures import Array

HUBER = 1.345
"""Residuals in standard deviations from which a run counts no further: 95 % efficient on normal
noise (Huber 1964), and an outlier moves the location of three runs as little as their median."""

_INSIDE = float(1 - 2 * norm.sf(HUBER))
_CLIPPED = float(
    _INSIDE - 2 * HUBER * norm.pdf(HUBER) + 2 * HUBER**2 * norm.sf(HUBER)
)  # mean square of a clipped standard normal
INEFFICIENCY = _CLIPPED / _INSIDE**2
"""Variance of Huber's location relative to the mean's on normal noise, 1.05."""

_DRAWS = 20_000


def inverse_trigamma(value: float) -> float:
    """Return x > 0 whose trigamma is a positive value, by Newton's method.

    Example:
        >>> round(inverse_trigamma(float(polygamma(1, 2.5))), 6)
        2.5
    """
    # Newton on 1/trigamma, which is convex and nearly linear: a few steps from any start below.
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        change = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += change
        if -change < 1e-8 * x:
            break
    return x


def median_scale(values: Array) -> tuple[Array, Array, Array]:
    """Return median, variance from the MAD, and that variance's degrees of freedom, of each row.

    The variance is 1.4826² MAD², corrected so that on normal noise the mean and variance of its
    logarithm are those of a chi-square variance with these degrees (about .37 per run).

    Args:
        values: ``(N, M)`` with NaN for missing runs.

    Returns:
        Three arrays ``(N,)``; NaN without a run, and 0 degrees with fewer than two.
    """
    center = row_median(values)
    variance = (1.4826 * row_median(np.abs(values - center[:, None]))) ** 2
    counts = np.isfinite(values).sum(1)
    table = {int(n): _mad_moments(int(n)) for n in np.unique(counts)}
    degrees = np.array([table[int(n)][0] for n in counts])
    return center, variance * [table[int(n)][1] for n in counts], degrees


@cache
def _mad_moments(runs: int) -> tuple[float, float]:
    """Return degrees of freedom and correction of the MAD's variance of so many normal runs."""
    if runs < 2:
        return 0.0, np.nan
    draws = np.random.default_rng(runs).standard_normal((_DRAWS, runs))
    spread = np.abs(draws - np.median(draws, 1, keepdims=True))
    logs = 2 * np.log(1.4826 * np.median(spread, 1))
    half = inverse_trigamma(float(logs.var()))
    return 2 * half, float(np.exp(psi(half) - np.log(half) - logs.mean()))


def huber_location(values: Array, scale: Array) -> tuple[Array, Array]:
    """Return Huber's location of each row at a known scale, and its residuals' sum of squares.

    Args:
        values: ``(N, M)`` with NaN for missing runs.
        scale: ``(N,)`` standard deviations.

    Returns:
        Locations and sums of squared clipped residuals, ``(N,)`` each; the sums are scaled to the
        expectation of unclipped ones on normal noise. NaN and 0 without a run.
    """
    limit = HUBER * scale[:, None]
    counts = np.maximum(np.isfinite(values).sum(1), 1)
    center = row_median(values)
    for _ in range(30):
        center = center + np.nansum(np.clip(values - center[:, None], -limit, limit), 1) / counts
    residuals = np.clip(values - center[:, None], -limit, limit)
    return center, np.nansum(residuals**2, 1) / _CLIPPED


def row_median(values: Array) -> Array:
    """Return the median of each row ``(N, M)`` without its NaNs; NaN for a row of NaNs."""
    ascending = np.sort(values, 1)  # NaN last
    counts = np.isfinite(values).sum(1)
    rows = np.arange(len(values))
    low, high = np.maximum(counts - 1, 0) // 2, counts // 2
    high = np.minimum(high, max(values.shape[1] - 1, 0))
    return np.asarray((ascending[rows, low] + ascending[rows, high]) / 2)
