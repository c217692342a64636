"""What a case can show: power, minimum detectable effect, and runs needed to confirm.

All three stages are in one number: the screen and both blocks of the confirmation must pass. The
true variance is not known but has a posterior, its estimate's scaled inverse chi-square; power is
the mean over it, so that it holds on average over cases of one estimate.
"""

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2, norm
from scipy.stats import t as student

from bench.regression.measures import BLOCKS, Array, Measure
from bench.regression.robust import INEFFICIENCY
from bench.regression.screen import Baseline

POWER = 0.95
"""Power at the minimum detectable effect."""

CONFIRM_POWER = 0.98
"""Power at delta for which runs of the confirmation are planned; the screen takes the rest."""

RELEVANT = 0.4
"""Share of delta that an observed drop must exceed to alarm, however certain it is."""

_NODES = 40
_TOLERANCE = 1e-3


def power(
    measure: Measure, baseline: Baseline, effect: ArrayLike, runs: ArrayLike, tonight: int = 1
) -> Array:
    """Return the chance ``(N,)`` that a true drop alarms the same night.

    Args:
        measure: What is measured.
        baseline: Baselines of the cases.
        effect: ``(N,)`` true drops, on the scale of the tests.
        runs: ``(N,)`` runs of a side in each block of the confirmation.
        tonight: Runs of the screen.
    """
    step = measure.step(baseline.center)
    sd = np.sqrt(baseline.variance)
    columns = np.broadcast_arrays(
        np.asarray(effect) / sd,
        RELEVANT * step / sd,
        baseline.degrees,
        baseline.uncertainty,
        np.asarray(runs),
    )
    return np.array(
        [
            _power(measure, size, floor, degrees, uncertainty, count, tonight)
            for size, floor, degrees, uncertainty, count in zip(*columns, strict=True)
        ]
    )


def minimum_effect(
    measure: Measure, baseline: Baseline, runs: ArrayLike, tonight: int = 1
) -> Array:
    """Return the drop ``(N,)``, on the scale of the tests, that alarms with a chance of `POWER`.

    Infinite where no variance is known. Arguments are those of `power`.
    """
    step = measure.step(baseline.center)
    sd = np.sqrt(baseline.variance)
    effects = np.full(len(sd), np.inf)
    columns = np.broadcast_arrays(
        RELEVANT * step / sd, baseline.degrees, baseline.uncertainty, np.asarray(runs)
    )
    for case, row in enumerate(zip(*columns, strict=True)):
        if np.isfinite(row).all() and baseline.degrees[case] > 0 and sd[case] > 0:
            # Rounded to two or three digits, cases share their searches.
            key = tuple(float(f"{value:.2g}") for value in row)
            effects[case] = sd[case] * _minimum_effect(measure, *key, tonight)
        elif sd[case] == 0:
            effects[case] = RELEVANT * step[case]
    return effects


def plan_runs(measure: Measure, baseline: Baseline) -> NDArray[np.int64]:
    """Return runs ``(N,)`` of a side in each block, so that a drop of delta is confirmed.

    The fewest with which both blocks pass with a chance of `CONFIRM_POWER`, at most
    ``measure.max_runs``: then the minimum detectable effect may exceed delta, and says so.
    """
    step = measure.step(baseline.center)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = step / np.sqrt(baseline.variance)
    runs = np.full(len(size), measure.max_runs)
    for case, (delta, degrees) in enumerate(zip(size, baseline.degrees, strict=True)):
        if delta == np.inf:
            runs[case] = measure.min_runs
        elif delta > 0 and degrees > 0:
            runs[case] = _plan(measure, float(f"{delta:.2g}"), float(f"{degrees:.2g}"))
    return runs


def planning_deviation(error: ArrayLike, images: ArrayLike) -> Array:
    """Return the standard deviation between seeds to expect where no run is there yet.

    Args:
        error: One minus the metric, such as 0.02.
        images: Number of test images.
    """
    return np.asarray(np.sqrt(np.asarray(error) / (2 * np.asarray(images))), dtype=float)


@cache
def _plan(measure: Measure, delta: float, degrees: float) -> int:
    variances, weights = _posterior(degrees)
    for runs in range(measure.min_runs, measure.max_runs):
        blocks = _block_power(measure, delta, RELEVANT * delta, degrees, runs, variances) ** BLOCKS
        if blocks @ weights >= CONFIRM_POWER:
            return runs
    return measure.max_runs


@cache
def _minimum_effect(
    measure: Measure, floor: float, degrees: float, uncertainty: float, runs: float, tonight: int
) -> float:
    low, high = 0.0, 1.0
    arguments = (floor, degrees, uncertainty, runs, tonight)
    while _power(measure, high, *arguments) < POWER:
        low, high = high, 2 * high
        if high > 1e6:
            return np.inf
    while high - low > _TOLERANCE * high:
        middle = (low + high) / 2
        low, high = (
            (low, middle) if _power(measure, middle, *arguments) >= POWER else (middle, high)
        )
    return high


def _power(
    measure: Measure,
    effect: float,
    floor: float,
    degrees: float,
    uncertainty: float,
    runs: float,
    tonight: int,
) -> float:
    """Return the power of screen and blocks; effects are in estimated standard deviations."""
    variances, weights = _posterior(degrees)
    spread = np.sqrt(uncertainty + 1 / tonight)
    threshold = student.isf(measure.alpha_screen, degrees) * spread
    screened = norm.cdf((effect - threshold) / (spread * np.sqrt(variances)))
    blocks = _block_power(measure, effect, floor, degrees, int(runs), variances) ** BLOCKS
    return float((screened * blocks) @ weights)


def _block_power(
    measure: Measure, effect: float, floor: float, degrees: float, runs: int, variances: Array
) -> Array:
    """Return the chance that one block passes at each true variance ``(V,)``."""
    own = 2 * runs - 2
    draws, weights = _chi_square_nodes(own)
    pooled = (degrees + own * variances[:, None] * draws) / (degrees + own)
    error = 2 * (INEFFICIENCY if measure.robust else 1.0) / runs
    threshold = student.isf(measure.alpha_block, degrees + own) * np.sqrt(pooled * error)
    margin = effect - np.maximum(threshold, floor)
    return np.asarray(norm.cdf(margin / np.sqrt(variances[:, None] * error)) @ weights)


@cache
def _posterior(degrees: float) -> tuple[Array, Array]:
    """Return true variances relative to the estimate, and their weights."""
    draws, weights = _chi_square_nodes(degrees)
    return 1 / draws, weights


@cache
def _chi_square_nodes(degrees: float) -> tuple[Array, Array]:
    """Return mean squares of chi-square draws and their weights, by Gauss-Legendre in the CDF."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    draws = chi2.ppf((nodes + 1) / 2, degrees) / degrees
    return np.maximum(draws, 1e-12), weights / 2
