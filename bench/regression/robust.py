"""Location and scale estimates robust to single outliers; rows are cases, NaN is missing."""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, polygamma, psi

from bench.regression.measures import Array

HUBER = 1.345
"""Residual in standard deviations at which runs are clipped: 95 % efficient on normal noise
(Huber 1964), and an outlier moves the location of three runs as little as their median."""

_BEYOND = float(ndtr(-HUBER))
_DENSITY = math.exp(-(HUBER**2) / 2) / math.sqrt(2 * math.pi)
_INSIDE = 1 - 2 * _BEYOND
_CLIPPED = (
    _INSIDE - 2 * HUBER * _DENSITY + 2 * HUBER**2 * _BEYOND
)  # mean square of a clipped standard normal
INEFFICIENCY = _CLIPPED / _INSIDE**2
"""Variance of Huber's location relative to the mean's on normal noise, 1.05."""

# Rows of normal noise from which corrections are computed; the seed is the number of runs, so that
# every machine has the same corrections.
_DRAWS = 20_000
_ITERATIONS = 25
_TOLERANCE = 1e-3


def inverse_trigamma(value: float) -> float:
    """Return the x > 0 with a given positive trigamma, by Newton's method.

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


def huber_scale(values: Array) -> tuple[Array, Array, Array]:
    """Return location, variance and the variance's degrees of freedom for each row.

    Huber's proposal 2: residuals clipped at `HUBER` deviations give location and scale jointly. On
    normal noise it is two thirds as efficient as the sample variance (the MAD: 37 %), and one
    outlier among 14 runs increases it by a quarter. The variance is corrected so that on normal
    noise the mean and variance of its logarithm are those of a chi-square variance.

    Args:
        values: ``(N, M)`` with NaN for missing runs.

    Returns:
        Three arrays ``(N,)``; NaN without a run, and 0 degrees with fewer than two.
    """
    center, variance = _proposal_2(values)
    counts = np.isfinite(values).sum(1)
    table = {int(n): _moments(int(n)) for n in np.unique(counts)}
    degrees = np.array([table[int(n)][0] for n in counts])
    return center, variance * [table[int(n)][1] for n in counts], degrees


def _proposal_2(values: Array) -> tuple[Array, Array]:
    counts = np.maximum(np.isfinite(values).sum(1), 1)
    center = row_median(values)
    # For normal noise, 1.4826 MAD is one standard deviation.
    spread = 1.4826 * row_median(np.abs(values - center[:, None]))
    # A MAD of 0, from rows with equal values, would clip everything permanently.
    squares = np.nansum((values - center[:, None]) ** 2, 1)
    scale = np.where(spread > 0, spread, np.sqrt(squares / counts))
    missing = ~np.isfinite(values)
    for _ in range(_ITERATIONS):
        clipped = _clipped_residuals(values, missing, center, HUBER * scale)
        center = center + clipped.sum(1) / counts
        before, scale = (
            scale,
            np.sqrt(np.square(clipped).sum(1) / (np.maximum(counts - 1, 1) * _CLIPPED)),
        )
        if not (np.abs(scale - before) > _TOLERANCE * scale).any():
            break
    return center, scale**2


@cache
def _moments(runs: int) -> tuple[float, float]:
    """Return the degrees of freedom and the correction of the variance of normal runs."""
    if runs < 2:
        return 0.0, np.nan
    # The logarithm of a chi-square variance with mean 1 and 2 h degrees of freedom has variance
    # trigamma(h) and mean psi(h) − log(h): the first gives h, the second the correction.
    logs = np.log(_proposal_2(np.random.default_rng(runs).standard_normal((_DRAWS, runs)))[1])
    half = inverse_trigamma(float(logs.var()))
    return 2 * half, float(np.exp(psi(half) - np.log(half) - logs.mean()))


@cache
def normal_residual(runs: int, share: float) -> float:
    """Return a quantile of the absolute residuals from the location of standard normal runs."""
    draws = np.random.default_rng(runs).standard_normal((_DRAWS, runs))
    return float(np.quantile(np.abs(draws - _proposal_2(draws)[0][:, None]), share))


def huber_location(values: Array, scale: Array) -> tuple[Array, Array]:
    """Return Huber's location of each row at a known scale, and its residuals' sum of squares.

    Args:
        values: ``(N, M)`` with NaN for missing runs.
        scale: ``(N,)`` standard deviations.

    Returns:
        Locations and sums of squared clipped residuals, ``(N,)`` each; the sums are scaled to the
        expectation of unclipped ones on normal noise. NaN and 0 without a run.
    """
    missing = ~np.isfinite(values)
    counts = np.maximum((~missing).sum(1), 1)
    center = row_median(values)
    for _ in range(_ITERATIONS):
        change = _clipped_residuals(values, missing, center, HUBER * scale).sum(1) / counts
        center = center + change
        if not (np.abs(change) > _TOLERANCE * scale).any():
            break
    residuals = _clipped_residuals(values, missing, center, HUBER * scale)
    return center, np.square(residuals).sum(1) / _CLIPPED


def _clipped_residuals(
    values: Array, missing: NDArray[np.bool_], center: Array, limit: Array
) -> Array:
    """Return residuals ``(N, M)`` clipped at limits ``(N,)``, 0 where missing."""
    residuals = values - center[:, None]
    np.minimum(residuals, limit[:, None], out=residuals)
    np.maximum(residuals, -limit[:, None], out=residuals)
    residuals[missing] = 0
    return residuals


def row_median(values: Array) -> Array:
    """Return the median of each row ``(N, M)``, ignoring NaNs; NaN for a row of NaNs."""
    ascending = np.sort(values, 1)  # NaN last
    counts = np.isfinite(values).sum(1)
    rows = np.arange(len(values))
    low, high = np.maximum(counts - 1, 0) // 2, counts // 2
    high = np.minimum(high, max(values.shape[1] - 1, 0))
    return np.asarray((ascending[rows, low] + ascending[rows, high]) / 2)
