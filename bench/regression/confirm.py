"""Confirm: fresh runs of base and head, alternating on one machine, in two blocks.

A night's common shift moves both sides of a block alike. The second block follows minutes later,
only where the first one passes, and must pass by itself: two levels of about √α multiply to α, and
unlike one test at α each is read where noise is still close to its model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from bench.regression.detectable import RELEVANT, block_levels, case_designs
from bench.regression.measures import BLOCKS, Array, Measure
from bench.regression.robust import INEFFICIENCY, huber_location
from bench.regression.screen import Baseline
from bench.regression.stages import chance

Verdict = Literal["regressed", "another block", "not confirmed", "two modes", "invalid"]


@dataclass(frozen=True)
class Block:
    """One block of confirming runs, tested; arrays are ``(N,)``, on the scale of the tests.

    Attributes:
        drop: Base minus head; positive is worse.
        error: Standard error of the drop.
        degrees: Degrees of freedom of the error.
        p: One-sided p of no drop; NaN if a side has fewer than two runs.
        passed: Whether this block alarms.
    """

    drop: Array
    error: Array
    degrees: Array
    p: Array
    passed: NDArray[np.bool_]


@dataclass(frozen=True)
class Confirmation:
    """What the blocks say about one case.

    Attributes:
        verdict: ``regressed``, ``another block`` (the first one passed: run the second),
            ``not confirmed``, ``two modes`` (underpowered) or ``invalid`` (too few runs).
        p: Chance that an unchanged suspect passes so clearly; NaN if invalid.
        drop: Mean drop, as ``measure.delta`` is given: a share, or relative to the base.
        low: Lower end of its 95 % interval.
        high: Upper end.
    """

    verdict: Verdict
    p: float
    drop: float
    low: float
    high: float


def run_order(runs: int) -> str:
    """Return the order of a block's runs, A for base and B for head; a drift favors neither.

    >>> run_order(3)
    'ABBAAB'
    """
    return "".join("AB" if pair % 2 == 0 else "BA" for pair in range(runs))


def check_block(
    measure: Measure, baseline: Baseline, levels: ArrayLike, base: ArrayLike, head: ArrayLike
) -> Block:
    """Test one block of confirming runs.

    The variance is the baseline's, updated with the block's own.

    Args:
        measure: What was measured.
        baseline: Baselines of the same cases.
        levels: ``(N,)`` levels of the test, from `block_levels`.
        base: ``(N, n)`` runs of the baseline's commit on the scale of the tests, NaN for missing.
        head: ``(N, n)`` runs of tonight's commit.
    """
    sides = [np.asarray(side, dtype=float) for side in (base, head)]
    runs = np.array([np.isfinite(side).sum(1) for side in sides])
    scale = np.sqrt(baseline.variance)
    (base_center, base_squares), (head_center, head_squares) = (
        huber_location(side, scale) for side in sides
    )
    own = np.maximum(runs.sum(0) - 2, 0)
    degrees = baseline.degrees + own
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = (
            np.where(baseline.degrees > 0, baseline.degrees * baseline.variance, 0.0)
            + base_squares
            + head_squares
        ) / degrees
        drop = base_center - head_center
        error = np.sqrt(variance * INEFFICIENCY * (1 / runs).sum(0))
        p = np.where(runs.min(0) >= 2, student.sf(drop / error, degrees), np.nan)
    passed = (p < np.asarray(levels)) & (drop > RELEVANT * measure.step(baseline.center))
    return Block(drop, error, degrees, p, passed)


def conclude(
    measure: Measure,
    baseline: Baseline,
    base: Sequence[ArrayLike],
    head: Sequence[ArrayLike],
    tonight: ArrayLike = 1,
) -> list[Confirmation]:
    """Return the verdict on each case after one block that did not pass, or after all blocks.

    Args:
        measure: What was measured.
        baseline: Baselines of the cases, ``(N,)``.
        base: ``(N, n)`` runs of the baseline's commit, for each block, on the scale of the tests;
            NaN for missing ones and beyond a case's planned runs.
        head: ``(N, n)`` runs of tonight's commit, for each block.
        tonight: ``(N,)`` runs of the screen.
    """
    runs = np.isfinite(np.asarray(base[0], dtype=float)).sum(1)
    levels = block_levels(measure, baseline, np.maximum(runs, 2), tonight)
    sides = list(zip(base, head, strict=True))
    blocks = [check_block(measure, baseline, levels, *side) for side in sides]
    passed = np.all([block.passed for block in blocks], 0)
    step = measure.step(baseline.center)
    split = np.any(
        [
            two_modes(np.concatenate([np.asarray(x) for x in side], 1), step)
            for side in (base, head)
        ],
        0,
    )
    p = _combined_p(measure, baseline, blocks, np.maximum(runs, 2), tonight)
    return [
        Confirmation(
            _verdict(bool(passed[case]), len(blocks), bool(split[case]), float(p[case])),
            float(p[case]),
            *(float(measure.size(baseline.center[case], end)) for end in _interval(blocks, case)),
        )
        for case in range(len(p))
    ]


def _verdict(passed: bool, blocks: int, split: bool, p: float) -> Verdict:
    if np.isnan(p):
        return "invalid"
    if split:
        return "two modes"
    if not passed:
        return "not confirmed"
    return "regressed" if blocks == BLOCKS else "another block"


def _combined_p(
    measure: Measure,
    baseline: Baseline,
    blocks: Sequence[Block],
    runs: ArrayLike,
    tonight: ArrayLike,
) -> Array:
    """Return the chance ``(N,)`` that an unchanged suspect has blocks like these, all of them."""
    largest = np.max([block.p for block in blocks], 0)
    result = np.full(len(largest), np.nan)
    for case, design in case_designs(measure, baseline, runs, tonight):
        if len(blocks) < BLOCKS:
            result[case] = largest[case]
        elif largest[case] > 0:
            both = chance(design, 0.0, 0.0, float(largest[case]))
            result[case] = both / measure.alpha_screen
        elif largest[case] == 0:
            result[case] = 0.0
    return result


def two_modes(values: ArrayLike, step: ArrayLike) -> NDArray[np.bool_]:
    """Return whether each row splits into two groups further apart than a step.

    Each group has at least two runs (a single one is an outlier) and a range below the gap between
    them (or else it is noise, however large). A t test fails on such rows.

    Args:
        values: ``(N, M)`` with NaN for missing runs, on the scale of the tests.
        step: ``(N,)`` distances that matter, from `Measure.step`.
    """
    ascending = np.sort(np.asarray(values, dtype=float), 1)  # NaN last
    counts = np.isfinite(ascending).sum(1)[:, None]
    low_group = np.arange(1, ascending.shape[1])[None, :]
    eligible = (low_group >= 2) & (counts - low_group >= 2)
    low, high = ascending[:, :-1], ascending[:, 1:]
    top = np.take_along_axis(ascending, np.maximum(counts - 1, 0), 1)
    ranges = np.maximum(low - ascending[:, :1], top - high)
    limit = np.maximum(np.broadcast_to(step, len(ascending))[:, None], ranges)
    return np.asarray((eligible & (high - low > limit)).any(1))


def _interval(blocks: Sequence[Block], case: int) -> tuple[float, float, float]:
    drop = float(np.mean([block.drop[case] for block in blocks]))
    error = float(np.sqrt(np.sum([block.error[case] ** 2 for block in blocks]))) / len(blocks)
    reach = float(student.isf(0.025, blocks[0].degrees[case])) * error
    return drop, drop - reach, drop + reach
