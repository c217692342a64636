"""Differences, and differences of differences, of top-1 values with their intervals.

What is judged is what is shown: values are rounded to hundredths of a point before any word is
chosen, so that no sentence can contradict the table it stands beside.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bench.aggregate.statistics import estimate
from bench.studies.mixing.points import Outcomes, Point

_NORMAL_95 = 1.959964

Weights = Mapping[Point, int]
"""A contrast: the sign with which each point's top-1 enters."""


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of top-1 values, in percentage points of two decimals.

    Attributes:
        value: Mean over the seeds that all points have.
        low: Lower end of the 95 % interval; None where there is none.
        high: Upper end.
        seeds: How many seeds; with one the interval is of the sampling of test images only.
        collapsed: Names of collapsed runs that enter it.
    """

    value: float
    low: float | None
    high: float | None
    seeds: int
    collapsed: tuple[str, ...]

    @property
    def shown_sign(self) -> int:
        """1 or −1 where the interval over seeds lies on one side of zero, else 0."""
        if self.seeds < 2 or self.low is None or self.high is None:
            return 0
        return (self.low > 0) - (self.high < 0)

    @property
    def sign(self) -> int:
        """Of the value."""
        return (self.value > 0) - (self.value < 0)

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return signed(self.value)
        return f"{signed(self.value)} [{signed(self.low)}, {signed(self.high)}]"


def contrast(outcomes: Outcomes, weights: Weights) -> Contrast | None:
    """The weighted sum of the points' top-1 values; None where they share no seed.

    With several seeds the interval is Student's t over the seeds' own sums. With one it is
    binomial: how far a sum may be off because the test images are a sample, runs taken as
    independent; it says nothing of the spread between seeds.
    """
    if any(point not in outcomes for point in weights):
        return None
    terms = [(sign, outcomes[point]) for point, sign in weights.items()]
    seeds = sorted(set.intersection(*(set(outcome.by_seed) for _, outcome in terms)))
    if not seeds:
        return None
    found = estimate(
        math.fsum(sign * outcome.by_seed[seed] for sign, outcome in terms) for seed in seeds
    )
    if found is None:
        return None
    half = found.half_width
    if len(seeds) == 1:
        half = _sampling([(one.by_seed[seeds[0]], one.images) for _, one in terms])
    return Contrast(
        _points(found.mean),
        None if half is None else _points(found.mean - half),
        None if half is None else _points(found.mean + half),
        len(seeds),
        tuple(outcome.collapsed for _, outcome in terms if outcome.collapsed),
    )


def signed(points: float) -> str:
    """``+1.25`` or ``−0.30``; zero has no sign."""
    return "0.00" if points == 0 else f"{points:+.2f}".replace("-", "−")


def _points(fraction: float) -> float:
    return float(f"{100 * fraction:.2f}") + 0.0  # + 0.0 takes the sign off a zero


def _sampling(shares: list[tuple[float, int | None]]) -> float | None:
    variance = 0.0
    for share, images in shares:
        if not images:
            return None
        variance += share * (1 - share) / images
    return _NORMAL_95 * math.sqrt(variance)
