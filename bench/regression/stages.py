"""Probabilities that a case passes the stages of a night: the screen and the confirmation blocks.

All stages of a case share one estimate of its variance, so their errors are not independent: a case
that varies more than estimated is suspected more often and confirmed more often. The true variance
has a posterior, the scaled inverse chi-square of its estimate; given the true variance the stages
are independent, so the probabilities are posterior means of products. Variances, effects and floors
here are in units of the estimated variance or deviation.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import chdtri, gammaln, ndtr, stdtrit

from bench.regression.measures import BLOCKS, Array, Measure
from bench.regression.robust import INEFFICIENCY

_NODES = 64  # variances in the sum that approximates an integral over the posterior
_EDGE = 1e-10  # posterior mass that is left out at each end, far below any level
_STEPS = 18  # bisection steps, after which the logarithm of a level is known to 1e-4


@dataclass(frozen=True)
class Design:
    """What determines a case's probabilities, apart from the size of an effect.

    Attributes:
        measure: What is measured.
        degrees: Degrees of freedom of the variance.
        uncertainty: Variance of the baseline's center.
        runs: Number of runs per side in each block.
        tonight: Number of runs in the screen.
    """

    measure: Measure
    degrees: float
    uncertainty: float
    runs: int
    tonight: int


@cache
def block_level(design: Design) -> float:
    """Return the level of one block's t test that keeps the promised rate of false alarms.

    An unchanged case passes the screen and all blocks with a probability of at most
    ``alpha_screen`` × ``alpha_confirm``.
    """
    wanted = design.measure.alpha_screen * design.measure.alpha_confirm
    low, high = np.log(1e-12), np.log(design.measure.alpha_block)
    if chance(design, 0.0, 0.0, float(np.exp(high))) <= wanted:
        return float(np.exp(high))
    for _ in range(_STEPS):
        middle = (low + high) / 2
        below = chance(design, 0.0, 0.0, float(np.exp(middle))) <= wanted
        low, high = (middle, high) if below else (low, middle)
    return float(np.exp(low))


def chance(design: Design, effect: float, floor: float, level: float, spread: float = 1.0) -> float:
    """Return the probability that the screen and all blocks pass.

    Args:
        design: The case.
        effect: True drop.
        floor: Observed drop that a block requires regardless of its p value.
        level: Level of a block's t test.
        spread: Standard deviation of runs with the drop, relative to those without.
    """
    variances, weights = _posterior(design.degrees)
    screened = _screen_chance(design, effect, variances, spread)
    blocks = _block_chance(design, effect, floor, level, variances, spread) ** BLOCKS
    return float((screened * blocks) @ weights)


def confirm_chance(design: Design, effect: float, floor: float, level: float) -> float:
    """Return the probability that all blocks pass; arguments are those of `chance`."""
    variances, weights = _posterior(design.degrees)
    return float(_block_chance(design, effect, floor, level, variances) ** BLOCKS @ weights)


def _screen_chance(design: Design, effect: float, variances: Array, spread: float) -> Array:
    expected = np.sqrt(design.uncertainty + 1 / design.tonight)
    threshold = -stdtrit(design.degrees, design.measure.alpha_screen) * expected
    actual = np.sqrt((design.uncertainty + spread**2 / design.tonight) * variances)
    return np.asarray(ndtr((effect - threshold) / actual))


def _block_chance(
    design: Design,
    effect: float,
    floor: float,
    level: float,
    variances: Array,
    spread: float = 1.0,
) -> Array:
    """Return the probability that one block passes at each true variance ``(V,)``."""
    variances = variances * (1 + spread**2) / 2  # one side has the drop
    own = 2 * design.runs - 2
    draws, weights = _chi_square(own)
    total = design.degrees + own
    pooled = (design.degrees + own * variances[:, None] * draws) / total
    error = 2 * INEFFICIENCY / design.runs
    margin = effect - np.maximum(-stdtrit(total, level) * np.sqrt(pooled * error), floor)
    return np.asarray(ndtr(margin / np.sqrt(variances[:, None] * error)) @ weights)


def _posterior(degrees: float) -> tuple[Array, Array]:
    """Return true variances relative to the estimate, and their weights."""
    draws, weights = _chi_square(degrees)
    return 1 / draws, weights


@cache
def _chi_square(degrees: float) -> tuple[Array, Array]:
    """Return values ``(V,)`` of a chi-square variance with mean 1, and their weights."""
    # Evenly spaced in the logarithm, to resolve tails far below a millionth.
    low, high = chdtri(degrees, 1 - _EDGE), chdtri(degrees, _EDGE)
    logs = np.linspace(np.log(low), np.log(high), _NODES)
    half = degrees / 2
    density = np.exp(half * logs - np.exp(logs) / 2 - half * np.log(2) - gammaln(half))
    return np.exp(logs) / degrees, density / density.sum()
