"""Are our runs within ±3 points of the original's, and with which base transform?

The original never published its base transform, so two are run. The band is judged against the one
that is nearer over all of a dataset's experiments, never against whichever suits an experiment.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from bench.studies.mixing.original import Experiment, collapsed_experiments, experiments
from bench.studies.mixing.points import Outcomes, Point

TOLERANCE_POINTS = 3.0
"""Percentage points."""

CANDIDATES = ("baseline", "flip_crop")
"""Recipes that may be the original's; they differ in the base transform alone."""


@dataclass(frozen=True)
class Comparison:
    """One experiment beside ours, after the last epoch, in percentage points of two decimals.

    Attributes:
        ours: Mean top-1 over seeds, by recipe.
        difference: Ours minus the original's with the nearer recipe; None where that did not run.
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
        return abs(self.difference) <= TOLERANCE_POINTS


@dataclass(frozen=True)
class Replication:
    """One dataset's experiments beside ours.

    Attributes:
        closest_recipe: Recipe that the band is judged against.
        distances: Mean absolute difference in points by recipe, over the experiments that all recipes
            have and whose original did not collapse; empty where there are none.
        counted: How many experiments those are.
    """

    dataset: str
    closest_recipe: str
    distances: dict[str, float]
    counted: int
    comparisons: tuple[Comparison, ...]


def replications(by_recipe: Mapping[str, Outcomes]) -> list[Replication]:
    """Every dataset of the original study that we have runs of.

    Args:
        by_recipe: Outcomes by recipe; recipes that are not among `CANDIDATES` are ignored.
    """
    ours = {recipe: _means(by_recipe[recipe]) for recipe in CANDIDATES if by_recipe.get(recipe)}
    datasets = dict.fromkeys(point.dataset for point in experiments())
    found = [_replication(dataset, ours) for dataset in datasets]
    return [one for one in found if one.comparisons]


def _replication(dataset: str, ours: Mapping[str, Mapping[Point, float]]) -> Replication:
    collapsed = collapsed_experiments()
    points = [point for point in experiments() if point.dataset == dataset]
    recipes = [recipe for recipe in ours if any(point in ours[recipe] for point in points)]
    shared = [
        p for p in points if p not in collapsed and all(p in ours[recipe] for recipe in recipes)
    ]
    distances = {
        recipe: fmean(abs(ours[recipe][point] - _original(point)) for point in shared)
        for recipe in recipes
        if shared
    }
    closest_recipe = (
        min(distances, key=lambda recipe: distances[recipe])
        if distances
        else next(iter(recipes), "")
    )
    comparisons = [
        _comparison(
            point,
            {recipe: ours[recipe][point] for recipe in recipes if point in ours[recipe]},
            closest_recipe,
        )
        for point in points
    ]
    run = tuple(one for one in comparisons if one.ours)
    return Replication(dataset, closest_recipe, distances, len(shared) if recipes else 0, run)


def _comparison(point: Point, values: dict[str, float], closest_recipe: str) -> Comparison:
    original = _original(point)
    difference = round(values[closest_recipe] - original, 2) if closest_recipe in values else None
    collapsed = point in collapsed_experiments()
    return Comparison(experiments()[point], original, values, difference, collapsed)


def _original(point: Point) -> float:
    return round(100 * experiments()[point].last_top1, 2)


def _means(outcomes: Outcomes) -> dict[Point, float]:
    return {
        point: round(100 * fmean(outcome.by_seed.values()), 2)
        for point, outcome in outcomes.items()
    }
