"""Are our runs within ±3 points of the original's, and with which base transform?

The original never published its base transform, so two are run. The band is judged against the one
that is nearer over all of a dataset's experiments, never against whichever suits an experiment.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from bench.studies.mixing.original import Experiment, collapsed_experiments, experiments
from bench.studies.mixing.points import Outcomes, Point

BAND = 3.0
"""Percentage points."""

CANDIDATES = ("baseline", "flip_crop")
"""Recipe arms that may be the original's; they differ in the base transform alone."""


@dataclass(frozen=True)
class Comparison:
    """One experiment beside ours, after the last epoch, in percentage points of two decimals.

    Attributes:
        ours: Mean top-1 over seeds, by recipe arm.
        difference: Ours minus the original's with the nearer arm; None where that did not run.
        collapsed: Whether the original's run fell apart, so that its figure is no target.
    """

    experiment: Experiment
    original: float
    ours: dict[str, float]
    difference: float | None
    collapsed: bool

    @property
    def within(self) -> bool | None:
        """Whether the difference is inside the band; None where there is nothing to judge."""
        if self.difference is None or self.collapsed:
            return None
        return abs(self.difference) <= BAND


@dataclass(frozen=True)
class Replication:
    """One dataset's experiments beside ours.

    Attributes:
        nearer: Recipe arm that the band is judged against.
        distances: Mean absolute difference in points by arm, over the experiments that all arms
            have and whose original did not collapse; empty where there are none.
        counted: How many experiments those are.
    """

    dataset: str
    nearer: str
    distances: dict[str, float]
    counted: int
    comparisons: tuple[Comparison, ...]


def replications(by_arm: Mapping[str, Outcomes]) -> list[Replication]:
    """Every dataset of the original study that we have runs of.

    Args:
        by_arm: Outcomes by recipe arm; arms that are not among `CANDIDATES` are ignored.
    """
    ours = {arm: _means(by_arm[arm]) for arm in CANDIDATES if by_arm.get(arm)}
    datasets = dict.fromkeys(point.dataset for point in experiments())
    found = [_replication(dataset, ours) for dataset in datasets]
    return [one for one in found if one.comparisons]


def _replication(dataset: str, ours: Mapping[str, Mapping[Point, float]]) -> Replication:
    fallen = collapsed_experiments()
    points = [point for point in experiments() if point.dataset == dataset]
    arms = [arm for arm in ours if any(point in ours[arm] for point in points)]
    shared = [p for p in points if p not in fallen and all(p in ours[arm] for arm in arms)]
    distances = {
        arm: fmean(abs(ours[arm][point] - _original(point)) for point in shared)
        for arm in arms
        if shared
    }
    nearer = min(distances, key=lambda arm: distances[arm]) if distances else next(iter(arms), "")
    comparisons = [
        _comparison(point, {arm: ours[arm][point] for arm in arms if point in ours[arm]}, nearer)
        for point in points
    ]
    run = tuple(one for one in comparisons if one.ours)
    return Replication(dataset, nearer, distances, len(shared) if arms else 0, run)


def _comparison(point: Point, values: dict[str, float], nearer: str) -> Comparison:
    original = _original(point)
    difference = round(values[nearer] - original, 2) if nearer in values else None
    fallen = point in collapsed_experiments()
    return Comparison(experiments()[point], original, values, difference, fallen)


def _original(point: Point) -> float:
    return round(100 * experiments()[point].last_top1, 2)


def _means(outcomes: Outcomes) -> dict[Point, float]:
    return {
        point: round(100 * fmean(outcome.by_seed.values()), 2)
        for point, outcome in outcomes.items()
    }
