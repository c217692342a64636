"""Simulate nights: how often an unchanged case alarms, and how often a true drop does."""

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bench.regression.confirm import Block, check_block, run_order, two_modes
from bench.regression.detectable import block_levels, minimum_effect, plan_runs
from bench.regression.measures import BLOCKS, DATASET_MEAN, QUALITY, SPEED, Array, Measure
from bench.regression.robust import row_median
from bench.regression.screen import (
    CANARIES,
    Baseline,
    Screened,
    canary_shift,
    fit_baseline,
    screen,
)
from bench.regression.simulation.datasets import Datasets
from bench.regression.simulation.noise import NIGHT, Cases, Noise

WINDOW = {QUALITY.name: 12, DATASET_MEAN.name: 12, SPEED.name: 14}
"""Baseline runs of a case."""

TONIGHT = {QUALITY.name: 2, DATASET_MEAN.name: 2, SPEED.name: 1}
"""Tonight's runs of a case."""


@dataclass
class NightTally:
    """The outcome of nights without a change.

    Attributes:
        nights: Nights simulated.
        alarming: Nights with an alarm.
        alarms: Alarms.
        suspects: Cases that the screen suspected.
        tests: Cases screened.
        runs: Runs of the confirmation.
        shifted: Nights on which the machine had changed, and no speed could alarm.
        alarmed: Whether each night had an alarm.
    """

    nights: int = 0
    alarming: int = 0
    alarms: int = 0
    suspects: int = 0
    tests: int = 0
    runs: int = 0
    shifted: int = 0
    alarmed: list[bool] = field(default_factory=list)


@dataclass
class Detection:
    """How often true drops alarmed the same night.

    Attributes:
        tried: Drops.
        caught: Drops that alarmed.
        cases: Cases asked.
        median_minimum: Median minimum detectable effect of the cases, as ``delta`` is given.
    """

    tried: int = 0
    caught: int = 0
    cases: int = 0
    median_minimum: float = np.nan

    @property
    def power(self) -> float:
        """Return the share of drops that alarmed; NaN without a drop."""
        return self.caught / self.tried if self.tried else np.nan


def quiet_nights(
    noise: Noise,
    measure: Measure,
    cases: int,
    nights: int,
    random: Generator,
) -> NightTally:
    """Return the outcome of nights on which nothing changed; every night has new cases."""
    tally = NightTally()
    for _ in range(nights):
        night = _Night(noise, measure, cases, random)
        suspects = np.flatnonzero(night.screened.suspect)
        suspects, runs = night.gated(suspects)
        alarms = 0
        if len(suspects) and not night.shifted:
            passed, used = night.confirm(suspects, runs)
            alarms, tally.runs = int(passed.sum()), tally.runs + used
        tally.nights += 1
        tally.shifted += night.shifted
        tally.tests += cases
        tally.suspects += int(night.screened.suspect.sum())
        tally.alarms += alarms
        tally.alarming += alarms > 0
        tally.alarmed.append(alarms > 0)
    return tally


def detections(
    noise: Noise, measure: Measure, cases: int, nights: int, random: Generator
) -> tuple[Detection, Detection]:
    """Return how often drops alarm: of delta where it is detectable, and of the minimum itself.

    Nights on which the machine has changed are left out: no speed alarms then, as the report says.
    """
    at_delta, at_minimum = Detection(), Detection()
    minima = []
    while nights:
        night = _Night(noise, measure, cases, random, effect="delta")
        if night.shifted:
            continue
        nights -= 1
        minima.append(measure.size(night.baseline.center, night.minimum))
        delta = measure.step(night.baseline.center)
        asked = np.flatnonzero(night.minimum <= delta)
        _count(at_delta, night, asked)
        other = _Night(noise, measure, cases, random, effect="minimum")
        if not other.shifted:
            _count(at_minimum, other, np.flatnonzero(other.drop))
    at_delta.median_minimum = float(np.nanmedian(np.concatenate(minima)))
    return at_delta, at_minimum


def _count(detection: Detection, night: "_Night", asked: NDArray[np.int64]) -> None:
    detection.cases += int(night.asked.sum())
    detection.tried += len(asked)
    suspects = asked[night.screened.suspect[asked]]
    if len(suspects):
        detection.caught += int(night.confirm(suspects, night.runs[suspects])[0].sum())


class _Night:
    """One simulated night up to the screen.

    Attributes:
        cases: The cases.
        baseline: Their baselines, from earlier nights.
        ran: ``(N,)`` runs of tonight.
        drop: ``(N,)`` true drops of tonight, on the scale of the tests; 0 of canaries.
        asked: ``(N,)`` whether a case may drop: canaries are known to be unchanged.
        runs: ``(N,)`` planned runs of a side in a block; only where there are drops.
        minimum: ``(N,)`` minimum detectable effects, infinite of canaries; only where there are
            drops.
        shifted: Whether the canaries show that the machine has changed.
        screened: Tonight against the baseline.
    """

    def __init__(
        self, noise: Noise, measure: Measure, cases: int, random: Generator, effect: str = ""
    ) -> None:
        self.measure, self.speed = measure, measure.scale == "log"
        window, tonight = WINDOW[measure.name], TONIGHT[measure.name]
        simulated = Datasets if measure.name == DATASET_MEAN.name else Cases
        self.cases: Cases | Datasets = simulated(noise, measure, cases, random, series=tonight)
        self.canaries = max(1, min(CANARIES, cases // 4)) if self.speed else 0
        values = self._history(window, random)
        self.baseline: Baseline = fit_baseline(measure, values)
        absent = random.random((cases, tonight)) < noise.missing
        self.ran = (~absent).sum(1)
        self.drop = np.zeros(cases)
        self.asked = np.arange(cases) >= self.canaries
        if effect:
            delta = measure.step(self.baseline.center)
            self.runs = plan_runs(measure, self.baseline, self.ran)
            self.minimum = minimum_effect(measure, self.baseline, self.runs, self.ran)
            self.minimum[~self.asked] = np.inf
            if self.speed:
                self.minimum[two_modes(values, delta)] = np.inf
            sizes = delta if effect == "delta" else self.minimum
            self.drop = np.where(self.asked & np.isfinite(sizes), sizes, 0.0)
        now = self._common_speed(random)
        fresh = self.cases.run(tonight, self.drop[:, None], now, absent.astype(float))
        deviations = row_median(fresh[: self.canaries]) - self.baseline.center[: self.canaries]
        shift, self.shifted = canary_shift(deviations)
        self.screened: Screened = screen(measure, self.baseline, fresh, shift)

    def _history(self, window: int, random: Generator) -> Array:
        """Return earlier runs ``(N, window)``; canaries tell the common speed of each night."""
        if not self.speed:
            return self.cases.run(window)
        values = self.cases.run(window, night=random.normal(0, NIGHT, window))
        canaries = values[: self.canaries]
        return np.asarray(values - row_median((canaries - row_median(canaries)[:, None]).T))

    def _common_speed(self, random: Generator) -> float:
        if not self.speed:
            return 0.0
        speed = random.normal(0, NIGHT)
        if random.random() < self.cases.noise.shifts:
            speed += random.choice([-1, 1]) * random.uniform(0.02, 0.10)
        return float(speed)

    def gated(self, suspects: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the suspects to confirm, and the planned runs of a side in a block of each."""
        baseline, ran = self.baseline.take(suspects), self.ran[suspects]
        runs = plan_runs(self.measure, baseline, ran)
        if np.isinf(self.measure.max_mde):
            return suspects, runs
        effects = minimum_effect(self.measure, baseline, runs, ran)
        seen = effects <= self.measure.max_mde * self.measure.step(baseline.center)
        return suspects[seen], runs[seen]

    def confirm(
        self, suspects: NDArray[np.int64], runs: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], int]:
        """Return which suspects alarm in all blocks, and how many runs that took."""
        baseline, cases = self.baseline.take(suspects), self.cases.take(suspects)
        levels = block_levels(self.measure, baseline, runs, self.ran[suspects])
        left = np.arange(len(suspects))
        used = 0
        sides: list[tuple[Array, Array]] = []
        blocks: list[Block] = []
        for _ in range(BLOCKS):
            base, head = _block(cases, runs, self.drop[suspects])
            block: Block = check_block(self.measure, baseline, levels, base, head)
            used += int(2 * runs[left].sum())
            sides.append((base, head))
            blocks.append(block)
            left = left[block.undecided[left]]
        alarms = np.all([block.passed for block in blocks], axis=0)
        if self.speed:
            step = self.measure.step(baseline.center)
            whole = [np.concatenate(side, 1) for side in zip(*sides, strict=True)]
            modes = np.any([two_modes(side, step) for side in whole], axis=0)
            alarms = np.where(modes, np.all([b.separated for b in blocks], axis=0), alarms)
        return alarms, used


def _block(cases: Cases | Datasets, runs: NDArray[np.int64], effect: Array) -> tuple[Array, Array]:
    """Return runs of base and head ``(N, n)`` in their alternating order, NaN beyond ``runs``."""
    most = int(runs.max())
    head = np.array([side == "B" for side in run_order(most)])
    speed = cases.measure.scale == "log"
    night = cases.random.normal(0, NIGHT) if speed else 0.0
    # A run that is missing here is repeated once.
    seeds = np.repeat(np.arange(most), 2)
    values = cases.run(2 * most, effect[:, None] * head, night, cases.noise.missing**2, seeds)
    values[seeds >= runs[:, None]] = np.nan
    return values[:, ~head], values[:, head]
