"""Noise families: what nights look like where nothing, or a known drop, has happened."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from bench.regression.measures import Array, Measure

NIGHT = 0.003
"""Deviation of a night's common speed, as a logarithm."""

SPEED_DEVIATION = 0.01
"""Deviation of speed between processes of one night, as a logarithm."""

QUALITY_DEVIATION = 0.003
"""Deviation of a quality metric of 95 % between seeds; it goes with the root of what is missing
to 100 %, as that of a share does."""

_RESOLUTION = 1 / 2000  # steps of a metric of a small test set
_MODE_STEP, _MODE_SHARE = 0.10, 0.3


@dataclass(frozen=True)
class Noise:
    """A family of noise; every quantity is zero or off by default.

    Attributes:
        name: Its name.
        about: What it is, for the report.
        tails: Degrees of freedom of a Student t of unit variance; infinite is normal.
        outliers: Share of runs that are far worse: 5 to 50 % slower, or 2 to 20 points lower.
        spread: Standard deviation of the logarithm of the cases' deviations.
        correlation: Correlation of successive runs, AR(1).
        shifts: Share of nights on which the whole machine is 2 to 10 % slower or faster.
        missing: Share of runs that are missing.
        ceiling: Whether metrics are within one point of 1, capped there and of coarse steps.
        modes: Share of cases with two speeds 10 % apart.
        pairing: Correlation of the runs of one seed on both sides of a confirmation.
    """

    name: str
    about: str
    tails: float = np.inf
    outliers: float = 0.0
    spread: float = 0.0
    correlation: float = 0.0
    shifts: float = 0.0
    missing: float = 0.0
    ceiling: bool = False
    modes: float = 0.0
    pairing: float = 0.0


FAMILIES = (
    Noise("normal", "normal, all cases alike"),
    Noise("t5", "Student t, 5 degrees of freedom", tails=5),
    Noise("t4", "Student t, 4 degrees of freedom", tails=4),
    Noise("outliers", "1 % of the runs far worse", outliers=0.01),
    Noise("unequal", "deviations differ between cases, log sd .5", spread=0.5),
    Noise("small categories", "deviations differ, log sd 1: some vary by points", spread=1.0),
    Noise("autocorrelated", "AR(1) with .3", correlation=0.3),
    Noise("shifts", "the machine is 2–10 % off on one night of 20", shifts=0.05),
    Noise("missing", "10 % of the runs missing", missing=0.1),
    Noise("ceiling", "metrics within one point of 1, in steps of 1/2000", ceiling=True),
    Noise("paired seeds", "runs of a seed on both sides correlate by .9", pairing=0.9),
    Noise("two modes", "one case of 10 has two speeds 10 % apart", modes=0.1),
    Noise(
        "all",
        "t5, outliers, spread .5, AR(1) .3, shifts and missing runs together",
        tails=5,
        outliers=0.01,
        spread=0.5,
        correlation=0.3,
        shifts=0.05,
        missing=0.1,
    ),
)


def concerns(noise: Noise, measure: Measure) -> bool:
    """Return whether a family tests something about a measure that no other family does."""
    if measure.scale == "log":
        # Speeds of processes are more alike, and a seed does not decide them.
        return not noise.ceiling and noise.spread < 1 and not noise.pairing
    return not noise.modes and (noise.name == "all" or not noise.shifts)


class Cases:
    """Simulated cases, drawn anew for every night; runs follow each other in time.

    Args:
        noise: The family.
        measure: What is measured.
        count: Number of cases, N.
        random: Source of all draws.
        series: Series of a case, such as seeds, whose runs take turns; only runs of one series are
            correlated.
    """

    def __init__(
        self, noise: Noise, measure: Measure, count: int, random: Generator, series: int = 1
    ) -> None:
        self.noise, self.measure, self.random = noise, measure, random
        self.level, deviation = self._levels(count)
        self.deviation = deviation * np.exp(noise.spread * random.standard_normal(count))
        self.two_moded = random.random(count) < noise.modes
        self._last = self._innovations(count, series)

    def run(
        self,
        count: int,
        effect: ArrayLike = 0.0,
        night: ArrayLike = 0.0,
        missing: Array | float | None = None,
        seeds: NDArray[np.int64] | None = None,
    ) -> Array:
        """Return the next runs ``(N, count)`` on the scale of the tests, NaN where missing.

        Args:
            count: Runs of each case.
            effect: True drop of each run, broadcast to ``(N, count)``, on the scale of the tests.
            night: Common speed of each run, broadcast to ``(N, count)``, as a logarithm.
            missing: Chance that each run is missing, broadcast to ``(N, count)``; the family's by
                default.
            seeds: ``(count,)`` number of each run's seed; all differ by default.
        """
        shape = (len(self.level), count)
        worse = self._noise(count, seeds) * self.deviation[:, None] - self._outliers(shape)
        center = self.level[:, None] - np.asarray(effect)
        if self.measure.scale == "log":
            slow = self.two_moded[:, None] & (self.random.random(shape) < _MODE_SHARE)
            values = center + worse + np.asarray(night) - _MODE_STEP * slow
        else:
            mean = self.measure.restore(center)
            raw = np.clip(mean + worse * np.sqrt(np.maximum(1 - mean, 0) / 0.05), 0, 1)
            if self.noise.ceiling:
                raw = np.round(raw / _RESOLUTION) * _RESOLUTION
            values = self.measure.transform(raw)
        chance = self.noise.missing if missing is None else missing
        return np.where(self.random.random(shape) < chance, np.nan, values)

    def take(self, chosen: NDArray[np.int64]) -> "Cases":
        """Return a subset that continues from its current state."""
        part = object.__new__(Cases)
        part.noise, part.measure, part.random = self.noise, self.measure, self.random
        part.level, part.deviation = self.level[chosen], self.deviation[chosen]
        part.two_moded, part._last = self.two_moded[chosen], self._last[chosen]
        return part

    def _levels(self, count: int) -> tuple[Array, float]:
        if self.measure.scale == "log":
            return self.random.normal(4, 1, count), SPEED_DEVIATION
        low, high = (0.99, 0.9995) if self.noise.ceiling else (0.85, 0.98)
        level = self.measure.transform(self.random.uniform(low, high, count))
        return level, QUALITY_DEVIATION

    def _innovations(self, *shape: int) -> Array:
        """Return draws of unit variance."""
        degrees = self.noise.tails
        if np.isinf(degrees):
            return self.random.standard_normal(shape)
        draws = self.random.standard_t(degrees, shape)
        return np.asarray(draws / np.sqrt(degrees / (degrees - 2)))

    def _noise(self, count: int, seeds: NDArray[np.int64] | None = None) -> Array:
        draws = self._innovations(len(self.level), count)
        if self.noise.pairing and seeds is not None:
            shared = self._innovations(len(self.level), int(seeds.max()) + 1)[:, seeds]
            pairing = self.noise.pairing
            draws = np.sqrt(pairing) * shared + np.sqrt(1 - pairing) * draws
        correlation = self.noise.correlation
        if not correlation:
            return draws
        for run in range(count):
            fresh = np.sqrt(1 - correlation**2) * draws[:, run]
            series = run % self._last.shape[1]
            draws[:, run] = correlation * self._last[:, series] + fresh
            self._last[:, series] = draws[:, run]
        return draws

    def _outliers(self, shape: tuple[int, int]) -> Array | float:
        if not self.noise.outliers:
            return 0.0
        low, high = (0.05, 0.5) if self.measure.scale == "log" else (0.02, 0.2)
        sizes = self.random.uniform(low, high, shape)
        return np.where(self.random.random(shape) < self.noise.outliers, sizes, 0.0)
