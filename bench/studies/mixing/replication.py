"""Whether our runs are within ±3 points of the original's, and with which base transform.

The original never published its base transform, so two are run. The original is compared with the
one that is closer over all experiments of a dataset, never with whichever suits an experiment.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from bench.studies.mixing.original import Experiment, collapsed_experiments, experiments
from bench.studies.mixing.points import Outcomes, Point

TOLERANCE_POINTS = 3.0
"""Largest difference from the original that counts as a replication, in percentage points."""

CANDIDATES = ("baseline", "flip_crop")
"""Recipes that may be the original's; they differ only in the base transform."""


@dataclass(frozen=True)
class Comparison:
    """An experiment and ours after the last epoch, in percent rounded to two decimals.

    Attributes:
        ours: Mean top-1 over seeds, by recipe.
        difference: Ours minus the original's with the closest recipe; None if it did not run.
        collapsed: Whether the original's run collapsed, so that its value is no target.
    """

    experiment: Experiment
    original: float
    ours: dict[str, float]
    difference: float | None
    collapsed: bool

    @property
    def within(self) -> bool | None:
        """Return whether the difference is tolerated; None if there is nothing to compare."""
        if self.difference is None or self.collapsed:
            return None
        return abs(self.difference) <= TOLERANCE_POINTS


@dataclass(frozen=True)
class Replication:
    """The experiments of a dataset, compared with ours.

    Attributes:
        closest_recipe: Recipe that is compared with the original.
        distances: Mean absolute difference in points by recipe, over the experiments that all
            recipes have and whose original did not collapse; empty if there are none.
        counted: Number of these experiments.
    """

    dataset: str
    closest_recipe: str
    distances: dict[str, float]
    counted: int
    comparisons: tuple[Comparison, ...]


def replications(by_recipe: Mapping[str, Outcomes]) -> list[Replication]:
    """Return a comparison for every dataset of the original study that was run here.

    Args:
        by_recipe: Outcomes by recipe; recipes that are not among `CANDIDATES` are ignored.
    """
    ours = {recipe: _means(by_recipe[recipe]) for recipe in CANDIDATES if by_recipe.get(recipe)}
    datasets = dict.fromkeys(point.dataset for point in experiments())
    replications = [_replication(dataset, ours) for dataset in datasets]
    return [replication for replication in replications if replication.comparisons]


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
    run = tuple(comparison for comparison in comparisons if comparison.ours)
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
