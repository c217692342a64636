"""Confirm a regression by fresh runs of base and head, alternating on one machine, in two blocks.

A shift common to a night affects both sides of a block equally. The second block follows minutes
later, only if the first one passes, and must pass on its own: two levels of about √α multiply to α,
and unlike one test at α, each is evaluated where noise still follows its model closely.

Both sides run the same seeds. A change after training shifts every seed equally, so the differences
by seed vary far less than the seeds themselves; a change to training leaves no such pairs. For
quality either test may alarm, each at half the level, so that together they keep the level of one;
a speed has no pairs.

Where a speed has two modes, no t test is fair. Such a case alarms only if in both blocks every run
of head is slower than every run of base: if nothing changed, every order of 2n runs is equally
likely, so this happens once in (2n over n), whatever the noise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import comb, stdtr, stdtrit

from bench.regression.detectable import RELEVANT, block_levels
from bench.regression.measures import BLOCKS, Array, Measure
from bench.regression.robust import INEFFICIENCY, huber_location
from bench.regression.screen import Baseline

_MIN_PAIRS = 3  # two leave one degree of freedom: hardly any drop would be significant


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
        separated: Whether all runs of head are worse than all of base, which counts where a speed
            has two modes: this is significant on its own, and the drop large enough to matter.
    """

    drop: Array
    error: Array
    degrees: Array
    p: Array
    levels: Array
    paired: NDArray[np.bool_]
    passed: NDArray[np.bool_]
    separated: NDArray[np.bool_]

    @property
    def undecided(self) -> NDArray[np.bool_]:
        """Return where another block may still lead to an alarm."""
        return self.passed | self.separated


@dataclass(frozen=True)
class Verdict:
    """Combined verdict of all blocks of one configuration.

    Attributes:
        passed: Whether every block so far may lead to an alarm.
        regressed: Whether all blocks ran and alarm, and ``reason`` is empty.
        reason: ``two modes`` or ``invalid`` if the blocks are inconclusive; empty otherwise.
        separated: Whether it was tested by the order of the runs alone, because of two modes.
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
    separated: bool
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
    if measure.has_pairs:
        return _sharper(block, _paired(measure, *sides), relevant)
    clear = (separation_p(*sides) < _separation_level(measure)) & (block.drop > relevant)
    return replace(block, separated=clear)


def separation_p(base: Array, head: Array) -> Array:
    """Return the chance ``(N,)`` that all runs of head are worse than all of base by order alone.

    It is 1 where they are not, as any order would then do.

    >>> separation_p(np.array([[4.0, 3.0]]), np.array([[1.0, 2.0]]))  # 1 of 6 orders
    array([0.16666667])
    """
    runs = [np.isfinite(side).sum(1) for side in (base, head)]
    lowest = np.where(np.isfinite(base), base, np.inf).min(1)
    highest = np.where(np.isfinite(head), head, -np.inf).max(1)
    separated = (lowest > highest) & (np.minimum(*runs) > 0)
    return np.where(separated, 1 / comb(sum(runs), runs[0]), 1.0)


def _separation_level(measure: Measure) -> float:
    """Return a block's level of separation: over all blocks half of the t test's, for caution."""
    return float((measure.alpha_confirm / 2) ** (1 / BLOCKS))


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
        p = np.where(runs.min(0) >= 2, stdtr(degrees, -drop / error), np.nan)
    no = np.zeros(len(p), dtype=bool)
    return Block(drop, error, degrees, p, levels, no, (p < levels) & (drop > relevant), no)


def _paired(measure: Measure, base: Array, head: Array) -> Block:
    """Test the differences by seed, with their own variance; p is NaN without enough pairs."""
    differences = base - head
    count = np.isfinite(differences).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        drop = np.nansum(differences, 1) / count
        squares = np.nansum(np.square(differences - drop[:, None]), 1)
        error = np.sqrt(squares / (count - 1) / count)
        p = np.where(error > 0, stdtr(count - 1, -drop / error), drop <= 0)
    p = np.where(count >= _MIN_PAIRS, p, np.nan)
    # It uses its own variance, not the screen's, so its level is the nominal one.
    levels, yes = np.full(len(p), measure.alpha_block), np.ones(len(p), dtype=bool)
    return Block(drop, error, count - 1.0, p, levels, yes, p < levels, ~yes)


def _sharper(apart: Block, paired: Block, relevant: Array) -> Block:
    """Choose for each case the test whose p is smaller for its level; the two share the level."""
    by_seed = paired.p * apart.levels < apart.p * paired.levels  # False if either is NaN
    drop, error, degrees, p, levels = (
        np.where(by_seed, getattr(paired, name), getattr(apart, name))
        for name in ("drop", "error", "degrees", "p", "levels")
    )
    p = np.minimum(2 * p, 1.0)
    passed = (p < levels) & (drop > relevant)
    return Block(drop, error, degrees, p, levels, by_seed, passed, np.zeros_like(passed))


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
    chances = [block.p[0] for block in blocks]
    sides = [np.concatenate(side, axis=1) for side in (base, head)]
    alarms = [block.passed[0] for block in blocks]
    reason = "invalid" if any(map(math.isnan, chances)) else ""
    modes = not reason and _has_two_modes(measure, baseline, sides)
    if modes:
        alarms = [block.separated[0] for block in blocks]
        reason = "" if all(alarms) else "two modes"
        chances = [separation_p(*each)[0] for each in zip(base, head, strict=True)]
    center = baseline.center[0]
    drop, low, high = (float(measure.size(center, end)) for end in _interval(blocks))
    return Verdict(
        passed=all(block.undecided[0] for block in blocks),
        regressed=all(alarms) and len(blocks) == BLOCKS and not reason,
        reason=reason,
        separated=modes,
        p=float(max(chances) ** len(blocks)),
        drop=drop,
        low=low,
        high=high,
        paired=all(block.paired[0] for block in blocks),
        levels=(_mean(sides[0]), _mean(sides[1])),
    )


def _has_two_modes(measure: Measure, baseline: Baseline, sides: Sequence[Array]) -> bool:
    """Return whether a speed splits into two groups; a quality may do so by its seeds."""
    step = measure.step(baseline.center)
    return not measure.has_pairs and any(bool(two_modes(side, step)[0]) for side in sides)


def _mean(values: Array) -> float:
    """Return the mean of the finite values; NaN if there are none."""
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else math.nan


def _interval(blocks: Sequence[Block]) -> tuple[float, float, float]:
    """Return the mean drop of a configuration's blocks and the ends of its 95 % interval."""
    drop = float(np.mean([block.drop[0] for block in blocks]))
    error = math.sqrt(sum(block.error[0] ** 2 for block in blocks)) / len(blocks)
    reach = -float(stdtrit(min(block.degrees[0] for block in blocks), 0.025)) * error
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
