"""What is watched, on which scale, and which drop matters.

Every test works on a scale on which noise is about normal and higher is better. Quality is on the
logit scale, where a metric near its ceiling has no skew to speak of; speed is the logarithm of
images per second, where 5 % is the same step everywhere.
"""

from dataclasses import dataclass
from math import inf
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

Array = NDArray[np.float64]
"""Float64 values; NaN is a missing run."""

BLOCKS = 2
"""Blocks of runs that must agree before an alarm."""


_LEAST_REST = 1e-3  # a metric of 1 varies like one of 99.9 %


@dataclass(frozen=True)
class Measure:
    """A kind of measured value and the rule for it.

    Attributes:
        name: Its name.
        scale: ``logit`` of a share in [0, 1], or ``log`` of a positive number; higher is better.
        delta: Smallest drop that matters: a share (0.01 is one point), or relative to the level.
        alpha_screen: Chance that an unchanged case is suspected.
        alpha_confirm: Chance that the confirmation of an unchanged suspect alarms.
        min_runs: Fewest runs of a side in a block.
        max_runs: Most runs of a side in a block.
        max_mde: Largest minimum detectable effect that is gated, in units of ``delta``; what shows
            only larger drops gates nothing.
        power: Chance that a drop of the minimum detectable effect alarms, by its estimated spread.
    """

    name: str
    scale: Literal["logit", "log"]
    delta: float
    alpha_screen: float
    alpha_confirm: float
    min_runs: int
    max_runs: int
    max_mde: float = inf
    power: float = 0.95

    @property
    def has_pairs(self) -> bool:
        """Return whether runs of one seed belong together; those of a speed do not."""
        return self.scale == "logit"

    @property
    def alpha_block(self) -> float:
        """Return the level of one block; all blocks must pass, so their levels multiply."""
        return float(self.alpha_confirm ** (1 / BLOCKS))

    def transform(self, values: ArrayLike) -> Array:
        """Convert values to the scale of the tests, in the same shape."""
        raw = np.asarray(values, dtype=float)
        if self.scale == "log":
            return np.asarray(np.log(raw))
        return np.asarray(np.log((raw + self._start) / (1 - raw + self._start)))

    def restore(self, values: ArrayLike) -> Array:
        """Convert values on the scale of the tests back to their own scale."""
        scaled = np.asarray(values, dtype=float)
        if self.scale == "log":
            return np.asarray(np.exp(scaled))
        return np.asarray((1 + 2 * self._start) * expit(scaled) - self._start)

    def step(self, center: ArrayLike, drop: ArrayLike | None = None) -> Array:
        """Return a drop from a level as a distance on the scale of the tests.

        Args:
            center: Levels, on the scale of the tests.
            drop: Drop, as `delta` is given; `delta` by default.
        """
        level = self.restore(center)
        size = np.asarray(self.delta if drop is None else drop, dtype=float)
        if self.scale == "log":
            return np.broadcast_to(-np.log1p(-size), level.shape).astype(float)
        return np.asarray(self.transform(level) - self.transform(np.maximum(level - size, 0)))

    def size(self, center: ArrayLike, step: ArrayLike) -> Array:
        """Return the drop, as `delta` is given, of a distance below a level.

        Args:
            center: Levels, on the scale of the tests.
            step: Distance below them on that scale; negative is a gain.
        """
        level, below = self.restore(center), self.restore(np.asarray(center) - np.asarray(step))
        return np.asarray(1 - below / level if self.scale == "log" else level - below)

    def spread_after(self, center: ArrayLike, step: ArrayLike) -> Array:
        """Return deviations below a level relative to those at it, on the scale of the tests.

        In points, the noise of a share is proportional to the root of what it lacks to 1; on the
        logit scale it falls with a drop of a good metric, by 6 % from 95 to 94 %. The relative
        noise of a speed stays the same.

        Args:
            center: Levels, on the scale of the tests.
            step: Distance below them on that scale.
        """
        before = np.asarray(center, dtype=float)
        after = before - np.asarray(step)
        if self.scale == "log":
            return np.ones(after.shape)
        return np.asarray(self._share_noise(after) / self._share_noise(before))

    def _share_noise(self, values: Array) -> Array:
        """Return the noise of a share on the scale of the tests, up to a constant factor."""
        rest = np.clip(1 - self.restore(values), _LEAST_REST, 1)
        slope = 1 / (1 - rest + self._start) + 1 / (rest + self._start)
        return np.asarray(np.sqrt(rest) * slope)

    @property
    def _start(self) -> float:
        # Added to share and rest: a metric may be exactly 1, and differences far below delta must
        # not look large there. With half of delta the noise of a share, which goes with the root
        # of the rest, is about the same on both sides of a drop of delta near 1.
        return self.delta / 2


QUALITY = Measure("quality", "logit", 0.01, 0.03, 3e-6, min_runs=3, max_runs=8)
"""A metric of one case, in [0, 1]; the replicate is a seed, of which a few collapse. With a level
of 1e-5, categories of very unequal spread alarmed in 16 of 2,000 quiet nights, with this one in
8."""

DATASET_MEAN = Measure("dataset mean", "logit", 0.003, 0.03, 1e-5, 3, 8, max_mde=1.0, power=0.957)
"""A metric's mean over a dataset's categories, which varies less between seeds. One that varies
too much for delta gates nothing: its categories, which are gated as all cases are, show more.
Planned for more power: the spread of few datasets is estimated less surely than that of cases."""

SPEED = Measure("speed", "log", 0.05, 0.03, 1e-5, min_runs=3, max_runs=8, power=0.94)
"""Images per second of the median step; the replicate is a process. Its simulated power at the
minimum detectable effect is 1 to 3 points above the planned one, which is that much lower."""


def describe(measure: Measure, drop: Any) -> str:
    """Return a drop with its unit.

    >>> describe(QUALITY, 0.0123), describe(SPEED, 0.0512)
    ('1.23 points', '5.1 %')
    """
    return f"{100 * drop:.2f} points" if measure.scale == "logit" else f"{100 * drop:.1f} %"
