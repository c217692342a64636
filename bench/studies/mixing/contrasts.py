"""Differences, and differences of differences, of top-1 values with their intervals.

Values are rounded to hundredths of a point before any word is chosen, so that no sentence can
contradict the table below it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bench.aggregate.statistics import estimate
from bench.studies.mixing.points import Outcomes, Point

_NORMAL_95 = 1.959964

Weights = Mapping[Point, int]
"""A contrast: the sign of each point's top-1 in the sum."""


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of top-1 values, in percentage points of two decimals.

    Attributes:
        value: Mean over the seeds that all points have.
        low: Lower end of the 95 % interval; None if there is none.
        high: Upper end.
        seeds: Number of seeds; for one, the interval covers only the sampling of test images.
        collapsed: Names of collapsed runs in the sum.
    """

    value: float
    low: float | None
    high: float | None
    seeds: int
    collapsed: tuple[str, ...]

    @property
    def shown_sign(self) -> int:
        """Return 1 or −1 if the interval over seeds lies on that side of zero, else 0."""
        if self.seeds < 2 or self.low is None or self.high is None:
            return 0
        return (self.low > 0) - (self.high < 0)

    @property
    def sign(self) -> int:
        """Return the sign of the value."""
        return (self.value > 0) - (self.value < 0)

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return signed(self.value)
        return f"{signed(self.value)} [{signed(self.low)}, {signed(self.high)}]"


def contrast(outcomes: Outcomes, weights: Weights) -> Contrast | None:
    """Return the weighted sum of the points' top-1 values; None if they share no seed.

    With several seeds the interval is Student's t over the seeds' own sums. With one it is
    binomial: it covers the sampling of test images for independent runs, and says nothing about
    the spread between seeds.
    """
    if any(point not in outcomes for point in weights):
        return None
    terms = [(sign, outcomes[point]) for point, sign in weights.items()]
    seeds = sorted(set.intersection(*(set(outcome.by_seed) for _, outcome in terms)))
    if not seeds:
        return None
    mean = estimate(
        math.fsum(sign * outcome.by_seed[seed] for sign, outcome in terms) for seed in seeds
    )
    if mean is None:
        return None
    half = mean.half_width
    if len(seeds) == 1:
        half = _sampling([(outcome.by_seed[seeds[0]], outcome.images) for _, outcome in terms])
    return Contrast(
        _points(mean.mean),
        None if half is None else _points(mean.mean - half),
        None if half is None else _points(mean.mean + half),
        len(seeds),
        tuple(outcome.collapsed for _, outcome in terms if outcome.collapsed),
    )


def signed(points: float) -> str:
    """Return a signed number of points.

    >>> signed(1.25), signed(-0.3), signed(0.0)
    ('+1.25', '−0.30', '0.00')
    """
    return "0.00" if points == 0 else f"{points:+.2f}".replace("-", "−")


def _points(fraction: float) -> float:
    return float(f"{100 * fraction:.2f}") + 0.0  # + 0.0 removes the sign of a zero


def _sampling(shares: list[tuple[float, int | None]]) -> float | None:
    if not all(images for _, images in shares):
        return None
    variance = sum(share * (1 - share) / images for share, images in shares if images)
    return _NORMAL_95 * math.sqrt(variance)
