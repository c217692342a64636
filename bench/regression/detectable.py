"""What a case can show: power, minimum detectable effect, and runs needed to confirm.

All stages are in one number: the screen and both blocks of the confirmation must pass. Of two tests
at half the level, with and without pairs of seeds, at least one passes about as often as one test
at the whole level where seeds do not pair, and more often where they do (`bench simulate`).
"""

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.regression.measures import Array, Measure
from bench.regression.screen import Baseline
from bench.regression.stages import Design, block_level, chance, confirm_chance

CONFIRM_POWER = 0.98
"""Power at delta for which runs of the confirmation are planned; the screen takes the rest."""

RELEVANT = 0.4
"""Share of delta that an observed drop must exceed to alarm, however certain it is."""

_ROUNDS = 2
_TOLERANCE = 1e-3  # of an effect, relative to it
_LARGEST = 1e6  # deviations; an effect that does not alarm there never does


def power(
    measure: Measure,
    baseline: Baseline,
    drop: ArrayLike,
    runs: ArrayLike,
    tonight: ArrayLike = 1,
) -> Array:
    """Return the chance ``(N,)`` that a true drop alarms the same night.

    Args:
        measure: What is measured.
        baseline: Baselines of the cases.
        drop: ``(N,)`` true drops, on the scale of the tests.
        runs: ``(N,)`` runs of a side in each block of the confirmation.
        tonight: ``(N,)`` runs of the screen; 0 has no power.
    """
    deviation = np.sqrt(baseline.cautious)
    effects = np.broadcast_to(np.asarray(drop) / deviation, deviation.shape)
    floors = RELEVANT * measure.step(baseline.center) / deviation
    spreads = measure.spread_after(baseline.center, effects * deviation)
    result = np.zeros(len(deviation))
    for case, design in case_designs(measure, baseline, runs, tonight):
        effect, floor, spread = (float(column[case]) for column in (effects, floors, spreads))
        result[case] = chance(design, effect, floor, block_level(design), spread)
    return result


def minimum_effect(
    measure: Measure, baseline: Baseline, runs: ArrayLike, tonight: ArrayLike = 1
) -> Array:
    """Return the drop ``(N,)``, on the scale of the tests, that alarms with the measure's power.

    Infinite where no variance is known, or nothing ran tonight. Arguments are those of `power`.
    """
    deviation = np.sqrt(baseline.cautious)
    floors = RELEVANT * measure.step(baseline.center) / deviation
    designs = list(case_designs(measure, baseline, runs, tonight))
    spreads = np.ones(len(deviation))
    # Noise depends on the effect and the effect on the noise; two fixed-point iterations suffice.
    for _ in range(_ROUNDS):
        effects = np.full(len(deviation), np.inf)
        for case, design in designs:
            numbers = _rounded(floors[case]), _rounded(spreads[case])
            effects[case] = deviation[case] * _minimum_effect(design, *numbers)
        spreads = measure.spread_after(baseline.center, effects)
    return effects


def plan_runs(measure: Measure, baseline: Baseline, tonight: ArrayLike = 1) -> NDArray[np.int64]:
    """Return the number of runs ``(N,)`` per side and block to confirm a drop of delta.

    It is the smallest with which both blocks pass with a chance of `CONFIRM_POWER`, but at
    most ``measure.max_runs``: then the minimum detectable effect may exceed delta.

    Args:
        measure: What is measured.
        baseline: Baselines of the cases.
        tonight: ``(N,)`` runs of the screen.
    """
    deltas = measure.step(baseline.center) / np.sqrt(baseline.cautious)
    runs = np.full(len(deltas), measure.max_runs)
    for case, design in case_designs(measure, baseline, measure.max_runs, tonight):
        runs[case] = _plan(design, _rounded(deltas[case]))
    return runs


def block_levels(
    measure: Measure, baseline: Baseline, runs: ArrayLike, tonight: ArrayLike = 1
) -> Array:
    """Return the level ``(N,)`` of one block's test, for `check_block`; 0 where nothing is known.

    Arguments are those of `power`.
    """
    levels = np.zeros(len(baseline.center))
    for case, design in case_designs(measure, baseline, runs, tonight):
        levels[case] = block_level(design)
    return levels


def planning_deviation(error: ArrayLike, images: ArrayLike) -> Array:
    """Return the expected standard deviation between seeds of a case that has not run yet.

    Args:
        error: One minus the metric, such as 0.02.
        images: Number of test images.
    """
    return np.asarray(np.sqrt(np.asarray(error) / (2 * np.asarray(images))), dtype=float)


def case_designs(
    measure: Measure, baseline: Baseline, runs: ArrayLike, tonight: ArrayLike
) -> Iterator[tuple[int, Design]]:
    """Yield the cases that can be tested with their designs, rounded so that they share work."""
    columns = np.broadcast_arrays(
        baseline.degrees, baseline.uncertainty, np.asarray(runs), np.asarray(tonight)
    )
    known = np.isfinite(baseline.variance) & np.isfinite(baseline.uncertainty)
    for case in np.flatnonzero(known & (baseline.degrees > 0) & (columns[3] > 0)):
        degrees, uncertainty, count, screened = (column[case] for column in columns)
        rounded = _rounded(degrees), _rounded(uncertainty)
        yield int(case), Design(measure, *rounded, int(count), int(screened))


def _rounded(value: float) -> float:
    # Two digits: thousands of cases then share some dozens of designs, which are cached.
    return float(f"{value:.2g}")


@cache
def _plan(design: Design, delta: float) -> int:
    measure = design.measure
    for runs in range(measure.min_runs, measure.max_runs):
        candidate = Design(measure, design.degrees, design.uncertainty, runs, design.tonight)
        floor, level = RELEVANT * delta, block_level(candidate)
        if confirm_chance(candidate, delta, floor, level) >= CONFIRM_POWER:
            return runs
    return measure.max_runs


@cache
def _minimum_effect(design: Design, floor: float, spread: float) -> float:
    low, high, level = 0.0, 1.0, block_level(design)
    while chance(design, high, floor, level, spread) < design.measure.power:
        low, high = high, 2 * high
        if high > _LARGEST:
            return np.inf
    while high - low > _TOLERANCE * high:
        middle = (low + high) / 2
        enough = chance(design, middle, floor, level, spread) >= design.measure.power
        low, high = (low, middle) if enough else (middle, high)
    return high
