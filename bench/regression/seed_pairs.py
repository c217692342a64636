"""The verdict of confirming blocks, where both sides ran the same seeds.

A change of what follows training moves each seed alike, and differences by seed then vary far less
than the seeds do; a change of training leaves no such pairs. Either test may alarm, at half the
level each, so that together they keep the level of one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t as student

from bench.regression.confirm import check_block, two_modes
from bench.regression.detectable import RELEVANT, block_levels
from bench.regression.measures import BLOCKS, Array, Measure
from bench.regression.screen import Baseline

_FEWEST_PAIRS = 3  # two leave one degree of freedom, with which hardly any drop is certain


@dataclass(frozen=True)
class BlockTest:
    """One block of one configuration, on the scale of the tests.

    Attributes:
        drop: Base minus head; positive is worse.
        error: Its standard error.
        degrees: Degrees of freedom of the error.
        p: One-sided p of no drop; NaN if a side has fewer than two runs.
        level: Level of the test.
        paired: Whether the test by seed was the sharper one.
    """

    drop: float
    error: float
    degrees: float
    p: float
    level: float
    paired: bool

    def passes(self, measure: Measure, baseline: Baseline) -> bool:
        """Return whether the block alarms: the drop is certain, and large enough to matter."""
        relevant = RELEVANT * float(measure.step(baseline.center)[0])
        return self.p < self.level and self.drop > relevant


@dataclass(frozen=True)
class Verdict:
    """What all blocks say together.

    Attributes:
        regressed: Whether all blocks alarm.
        reason: ``two modes`` or ``invalid`` where they cannot say; empty otherwise.
        p: p of all blocks together.
        drop: Mean drop, as ``measure.delta`` is given.
        low: Lower end of its 95 % interval.
        high: Upper end.
        paired: Whether the tests by seed were the sharper ones.
    """

    regressed: bool
    reason: str
    p: float
    drop: float
    low: float
    high: float
    paired: bool


def check_pairs(measure: Measure, baseline: Baseline, base: Array, head: Array) -> BlockTest:
    """Test one block, with and without pairs of seeds.

    Args:
        measure: What was measured.
        baseline: Baseline of the configuration, one row.
        base: ``(1, n)`` runs of the baseline's commit on the scale of the tests, NaN for missing.
        head: ``(1, n)`` runs of tonight's commit with the same seeds.
    """
    runs = max(int(np.isfinite(base).sum()), 2)
    levels = block_levels(measure, baseline, np.array([runs]), 1)
    block, level = check_block(measure, baseline, levels, base, head), float(levels[0])
    parts = (block.drop, block.error, block.degrees, block.p)
    drop, error, degrees, p = (float(part[0]) for part in parts)
    apart = BlockTest(drop, error, degrees, p, level, paired=False)
    if measure.scale == "log":  # a speed: its runs are no pairs
        return apart
    differences = (base - head)[0]
    differences = differences[np.isfinite(differences)]
    if len(differences) < _FEWEST_PAIRS or math.isnan(apart.p):
        return apart
    drop, degrees = float(differences.mean()), float(len(differences) - 1)
    error = float(differences.std(ddof=1)) / math.sqrt(len(differences))
    p = float(student.sf(drop / error, degrees)) if error > 0 else float(drop <= 0)
    # Its variance is its own, not the screen's, so that its level is the nominal one.
    paired = BlockTest(drop, error, degrees, p, measure.alpha_block, paired=True)
    best = paired if p * level < apart.p * paired.level else apart
    return replace(best, p=min(1.0, 2 * best.p))


def verdict(
    measure: Measure, baseline: Baseline, base: Sequence[Array], head: Sequence[Array]
) -> Verdict:
    """Return the verdict after one block that did not alarm, or after all blocks.

    Args:
        measure: What was measured.
        baseline: Baseline of the configuration, one row.
        base: ``(1, n)`` runs of the baseline's commit, for each block.
        head: ``(1, n)`` runs of tonight's commit, for each block.
    """
    tests = [check_pairs(measure, baseline, *sides) for sides in zip(base, head, strict=True)]
    p = float(max(test.p for test in tests) ** len(tests))
    reason = "invalid" if any(math.isnan(test.p) for test in tests) else ""
    step = measure.step(baseline.center)
    sides = [np.concatenate(side, axis=1) for side in (base, head)]
    # Seeds may differ by more than delta; a speed in two groups is no noise.
    if not reason and measure.scale == "log" and any(two_modes(s, step)[0] for s in sides):
        reason = "two modes"
    passed = len(tests) == BLOCKS and all(test.passes(measure, baseline) for test in tests)
    drop = float(np.mean([test.drop for test in tests]))
    error = math.sqrt(sum(test.error**2 for test in tests)) / len(tests)
    reach = float(student.isf(0.025, min(test.degrees for test in tests))) * error
    center = baseline.center[0]
    drop, low, high = (float(measure.size(center, x)) for x in (drop, drop - reach, drop + reach))
    paired = all(test.paired for test in tests)
    return Verdict(passed and not reason, reason, p, drop, low, high, paired)
