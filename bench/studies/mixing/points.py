"""Study 2's table of top-1 values: one outcome a dataset, model, augmentation and start."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from bench.record import Record

HEAD = "last_epoch"

_EARLY = 0.1
_LOST = 0.75
_BELOW_CONTROL = 0.5


class Point(NamedTuple):
    """One experiment's place; ``model`` is without its recipe."""

    dataset: str
    model: str
    augmentation: str
    pretrained: bool

    @property
    def start(self) -> str:
        """``pretrained`` or ``scratch``."""
        return "pretrained" if self.pretrained else "scratch"

    def __str__(self) -> str:
        return f"{self.model} {self.augmentation} {self.start}"


@dataclass(frozen=True)
class Outcome:
    """What came of a point.

    Attributes:
        by_seed: Top-1, a fraction of 1, by the replicate's index.
        images: Test images it was counted on; None if that is not known.
        collapsed: Name of a run of it that collapsed; empty if none did.
    """

    by_seed: Mapping[int, float]
    images: int | None
    collapsed: str = ""


Outcomes = Mapping[Point, Outcome]


def collapsed(
    best_epoch: int, epochs: int, best: float, last: float, control: float | None
) -> bool:
    """Whether a run fell apart early and never recovered, by its numbers alone.

    Its best epoch lies in the first tenth, its last epoch keeps less than three quarters of that
    best, and is less than half of the run without mixing, where there is one.

    Args:
        best_epoch: From 1.
        epochs: How many there were.
        best: Top-1 at the best epoch.
        last: Top-1 after the last epoch.
        control: Top-1 after the last epoch of the same model and start without mixing.
    """
    early = best_epoch <= _EARLY * epochs
    below = control is None or last < _BELOW_CONTROL * control
    return early and last < _LOST * best and below


def outcomes(records: Iterable[Record], recipe: str) -> tuple[dict[Point, Outcome], int]:
    """The outcomes of one recipe.

    Returns:
        The outcomes, and how many records were left out because they saw other images or another
        budget than most of their dataset's.
    """
    judged = [
        record for record in records if recipe_of(record) == recipe and _top1(record) is not None
    ]
    conditions: dict[str, Counter[str]] = defaultdict(Counter)
    for record in judged:
        conditions[record.case.dataset][_conditions(record)] += 1
    usual = {
        dataset: max(counts, key=lambda condition: (counts[condition], condition))
        for dataset, counts in conditions.items()
    }
    cells: dict[Point, list[Record]] = defaultdict(list)
    for record in judged:
        if _conditions(record) == usual[record.case.dataset]:
            cells[point_of(record)].append(record)
    left_out = len(judged) - sum(map(len, cells.values()))
    return {point: _outcome(point, cells) for point in sorted(cells)}, left_out


def point_of(record: Record) -> Point:
    """The record's place in the table."""
    case = record.case
    model = case.model
    return Point(case.dataset, model, case.augmentation, case.pretrained)


def recipe_of(record: Record) -> str:
    """Return the name of the record's recipe."""
    return record.case.recipe


def _top1(record: Record) -> float | None:
    return record.metrics.get(HEAD, {}).get("top1")


def _conditions(record: Record) -> str:
    """All that must be alike for a comparison: the images and the budget."""
    own = {
        "recipe",
        "recipe_name",
        "augmentation",
        "options",
    }  # what a model is built with is its own
    budget = {name: value for name, value in record.protocol.items() if name not in own}
    return json.dumps([record.key.data, budget], sort_keys=True)


def _outcome(point: Point, cells: Mapping[Point, list[Record]]) -> Outcome:
    own = cells[point]
    controls = {
        record.case.replicate: _top1(record)
        for record in cells.get(point._replace(augmentation="default"), ())
    }
    collapsed = [record.key.id for record in own if _fell(record, controls, point)]
    images = {record.fingerprints.get("images", {}).get("test") for record in own}
    return Outcome(
        {record.case.replicate: _top1(record) or 0.0 for record in own},
        images.pop() if len(images) == 1 else None,
        ", ".join(sorted(collapsed)),
    )


def _fell(record: Record, controls: Mapping[int, float | None], point: Point) -> bool:
    values = [value for _, value in record.epochs]
    if not values:
        return False
    best = max(values)
    control = None if point.augmentation == "default" else controls.get(record.case.replicate)
    return collapsed(values.index(best) + 1, len(values), best, values[-1], control)
