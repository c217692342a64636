"""Study 2's table of top-1 values, by dataset, model, augmentation and initialization."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from bench.record import Record
from bench.recorded_protocol import budget_fields

HEAD = "last_epoch"

_EARLY = 0.1
_LOST = 0.75
_BELOW_CONTROL = 0.5


class Point(NamedTuple):
    """The position of an experiment in the table; ``model`` is without its recipe."""

    dataset: str
    model: str
    augmentation: str
    pretrained: bool

    @property
    def init(self) -> str:
        """Return ``pretrained`` or ``scratch``."""
        return "pretrained" if self.pretrained else "scratch"

    def __str__(self) -> str:
        return f"{self.model} {self.augmentation} {self.init}"


@dataclass(frozen=True)
class Outcome:
    """The top-1 values of a point.

    Attributes:
        by_seed: Top-1, a fraction of 1, by the replicate's index.
        images: Number of test images; None if unknown.
        collapsed: Names of its runs that collapsed; empty if none did.
    """

    by_seed: Mapping[int, float]
    images: int | None
    collapsed: str = ""

    @property
    def mean(self) -> float:
        """Return the mean top-1 over seeds."""
        return fmean(self.by_seed[seed] for seed in sorted(self.by_seed))


Outcomes = Mapping[Point, Outcome]


def collapsed(
    best_epoch: int, epochs: int, best: float, last: float, control: float | None
) -> bool:
    """Return whether a run collapsed early and never recovered, by its numbers alone.

    Its best epoch is in the first tenth, its last epoch has less than three quarters of the best
    top-1, and less than half of the top-1 of the run without mixing, if there is one.

    Args:
        best_epoch: Number of the best epoch, from 1.
        epochs: Number of epochs.
        best: Top-1 at the best epoch.
        last: Top-1 after the last epoch.
        control: Top-1 after the last epoch of the same run without mixing.
    """
    early = best_epoch <= _EARLY * epochs
    below = control is None or last < _BELOW_CONTROL * control
    return early and last < _LOST * best and below


def outcomes(records: Iterable[Record], recipe: str) -> tuple[dict[Point, Outcome], int]:
    """Return the outcomes of one recipe.

    Returns:
        The outcomes, and the number of records left out because they saw other images or had
        another budget than most records of their dataset.
    """
    scored = [r for r in records if r.case.recipe == recipe and _top1(r) is not None]
    counts = Counter((record.case.dataset, _conditions(record)) for record in scored)
    # The last condition of a dataset in this order is its most frequent.
    usual = dict(sorted(counts, key=lambda place: (counts[place], place)))
    cells: dict[Point, list[Record]] = defaultdict(list)
    for record in scored:
        if _conditions(record) == usual[record.case.dataset]:
            cells[point_of(record)].append(record)
    left_out = len(scored) - sum(map(len, cells.values()))
    return {point: _outcome(point, cells) for point in sorted(cells)}, left_out


def point_of(record: Record) -> Point:
    """Return the record's position in the table."""
    case = record.case
    return Point(case.dataset, case.model, case.augmentation, case.pretrained)


def _top1(record: Record) -> float | None:
    return record.metrics.get(HEAD, {}).get("top1")


def _conditions(record: Record) -> str:
    """Return what two runs must have in common to be compared: the images and the budget."""
    return json.dumps([record.key.data, budget_fields(record.protocol)], sort_keys=True)


def _outcome(point: Point, cells: Mapping[Point, list[Record]]) -> Outcome:
    own = cells[point]
    controls = {
        record.case.replicate: _top1(record)
        for record in cells.get(point._replace(augmentation="default"), ())
    }
    names = [record.key.id for record in own if _collapsed(record, controls, point)]
    images = {record.fingerprints.get("images", {}).get("test") for record in own}
    return Outcome(
        {record.case.replicate: _top1(record) or 0.0 for record in own},
        images.pop() if len(images) == 1 else None,
        ", ".join(sorted(names)),
    )


def _collapsed(record: Record, controls: Mapping[int, float | None], point: Point) -> bool:
    values = [value for _, value in record.epochs]
    if not values:
        return False
    best = max(values)
    control = None if point.augmentation == "default" else controls.get(record.case.replicate)
    return collapsed(values.index(best) + 1, len(values), best, values[-1], control)
