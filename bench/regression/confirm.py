"""Confirm a regression by fresh runs of base and head, alternating on one machine, in two blocks.

A shift common to a night affects both sides of a block equally. The second block follows minutes
later, only if the first one passes, and must pass on its own: two levels of about √α multiply to α,
and unlike one test at α, each is evaluated where noise still follows its model closely.

Both sides run the same seeds. A change after training shifts every seed equally, so the differences
by seed vary far less than the seeds themselves; a change to training leaves no such pairs. For
quality either test may alarm, each at half the level, so that together they keep the level of one;
a speed has no pairs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from bench.regression.detectable import RELEVANT, block_levels
from bench.regression.measures import BLOCKS, Array, Measure
from bench.regression.robust import INEFFICIENCY, huber_location
from bench.regression.screen import Baseline

_FEWEST_PAIRS = 3  # two leave one degree of freedom: hardly any drop would be significant


@dataclass(frozen=True)
class Block:
    """Test of one block of confirming runs; arrays are ``(N,)``, on the scale of the tests.

    Attributes:
        drop: Base minus head; positive is worse.
        error: Standard error of the drop.
        degrees: Degrees of freedom of the error.
        p: One-sided p value of no drop; NaN if a side has fewer than two runs.
        levels: Levels of the tests.
        paired: Whether the test by seed was the more sensitive one.
        passed: Whether this block alarms: the drop is significant, and large enough to matter.
    """

    drop: Array
    error: Array
    degrees: Array
    p: Array
    levels: Array
    paired: NDArray[np.bool_]
    passed: NDArray[np.bool_]


@dataclass(frozen=True)
class Verdict:
    """Combined verdict of all blocks of one configuration.

    Attributes:
        passed: Whether every block so far alarms.
        regressed: Whether all blocks ran and alarm, and ``reason`` is empty.
        reason: ``two modes`` or ``invalid`` if the blocks are inconclusive; empty otherwise.
        p: p value of all blocks together.
        drop: Mean drop, in the unit of ``measure.delta``.
        low: Lower end of its 95 % interval.
        high: Upper end.
        paired: Whether the tests by seed were the more sensitive ones.
        levels: Means of all runs of base and of head, on the scale of the tests.
    """

    passed: bool
    regressed: bool
    reason: str
    p: float
    drop: float
    low: float
    high: float
    paired: bool
    levels: tuple[float, float]


def run_order(runs: int) -> str:
    """Return the order of a block's runs, A for base and B for head; drift favors neither.

    >>> run_order(3)
    'ABBAAB'
    """
    return "".join("AB" if pair % 2 == 0 else "BA" for pair in range(runs))


def check_block(
    measure: Measure, baseline: Baseline, levels: ArrayLike, base: ArrayLike, head: ArrayLike
) -> Block:
    """Test one block of confirming runs.

    Args:
        measure: What was measured.
        baseline: Baselines of the same cases.
        levels: ``(N,)`` levels of the test, from `block_levels`.
        base: ``(N, n)`` runs of the baseline's commit on the scale of the tests, NaN for missing.
        head: ``(N, n)`` runs of tonight's commit, with the same seeds.
    """
    sides = np.asarray(base, dtype=float), np.asarray(head, dtype=float)
    relevant = RELEVANT * measure.step(baseline.center)
    block = _apart(baseline, np.broadcast_to(levels, len(relevant)), *sides, relevant)
    return _sharper(block, _paired(measure, *sides), relevant) if measure.has_pairs else block


def _apart(baseline: Baseline, levels: Array, base: Array, head: Array, relevant: Array) -> Block:
    """Test the difference between the sides, pooling the baseline's variance and the block's."""
    runs = np.array([np.isfinite(side).sum(1) for side in (base, head)])
    scale = np.sqrt(baseline.variance)
    (base_center, base_squares), (head_center, head_squares) = (
        huber_location(side, scale) for side in (base, head)
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
    paired = np.zeros(len(p), dtype=bool)
    return Block(drop, error, degrees, p, levels, paired, (p < levels) & (drop > relevant))


def _paired(measure: Measure, base: Array, head: Array) -> Block:
    """Test the differences by seed, with their own variance; p is NaN without enough pairs."""
    differences = base - head
    count = np.isfinite(differences).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        drop = np.nansum(differences, 1) / count
        squares = np.nansum(np.square(differences - drop[:, None]), 1)
        error = np.sqrt(squares / (count - 1) / count)
        p = np.where(error > 0, student.sf(drop / error, count - 1), drop <= 0)
    p = np.where(count >= _FEWEST_PAIRS, p, np.nan)
    # It uses its own variance, not the screen's, so its level is the nominal one.
    levels, paired = np.full(len(p), measure.alpha_block), np.ones(len(p), dtype=bool)
    return Block(drop, error, count - 1.0, p, levels, paired, p < levels)


def _sharper(apart: Block, paired: Block, relevant: Array) -> Block:
    """Choose for each case the test with the smaller p for its level; the two share the level."""
    by_seed = paired.p * apart.levels < apart.p * paired.levels  # False if either is NaN
    drop, error, degrees, p, levels = (
        np.where(by_seed, getattr(paired, name), getattr(apart, name))
        for name in ("drop", "error", "degrees", "p", "levels")
    )
    p = np.minimum(2 * p, 1.0)
    return Block(drop, error, degrees, p, levels, by_seed, (p < levels) & (drop > relevant))


def verdict(
    measure: Measure,
    baseline: Baseline,
    base: Sequence[Array],
    head: Sequence[Array],
    tonight: int = 1,
) -> Verdict:
    """Return the verdict on one configuration after one block or all of them.

    Args:
        measure: What was measured.
        baseline: Baseline of the configuration, one row.
        base: ``(1, n)`` runs of the baseline's commit, for each block, on the scale of the tests;
            NaN for missing ones.
        head: ``(1, n)`` runs of tonight's commit, for each block.
        tonight: Number of runs in the screen.
    """
    runs = max(int(np.isfinite(base[0]).sum()), 2)
    levels = block_levels(measure, baseline, runs, tonight)
    blocks = [
        check_block(measure, baseline, levels, *sides) for sides in zip(base, head, strict=True)
    ]
    p = float(max(block.p[0] for block in blocks) ** len(blocks))
    reason = "invalid" if any(math.isnan(block.p[0]) for block in blocks) else ""
    step = measure.step(baseline.center)
    sides = [np.concatenate(side, axis=1) for side in (base, head)]
    # Seeds may differ by more than delta, but a speed in two groups is not noise.
    if not reason and not measure.has_pairs and any(two_modes(s, step)[0] for s in sides):
        reason = "two modes"
    passed = all(block.passed[0] for block in blocks)
    center = baseline.center[0]
    drop, low, high = (float(measure.size(center, end)) for end in _interval(blocks))
    return Verdict(
        passed=passed,
        regressed=passed and len(blocks) == BLOCKS and not reason,
        reason=reason,
        p=p,
        drop=drop,
        low=low,
        high=high,
        paired=all(block.paired[0] for block in blocks),
        levels=(_mean(sides[0]), _mean(sides[1])),
    )


def _mean(values: Array) -> float:
    """Return the mean of the finite values; NaN if there are none."""
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else math.nan


def _interval(blocks: Sequence[Block]) -> tuple[float, float, float]:
    """Return the mean drop of a configuration's blocks and the ends of its 95 % interval."""
    drop = float(np.mean([block.drop[0] for block in blocks]))
    error = math.sqrt(sum(block.error[0] ** 2 for block in blocks)) / len(blocks)
    reach = float(student.isf(0.025, min(block.degrees[0] for block in blocks))) * error
    return drop, drop - reach, drop + reach


def two_modes(values: ArrayLike, step: ArrayLike) -> NDArray[np.bool_]:
    """Return whether each row splits into two groups further apart than a step.

    Each group has at least two runs (a single one is an outlier) and a range below the gap between
    the groups (otherwise it is noise, however large). A t test fails on such rows.

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
