"""From records to the rows of a table: which records count, what is averaged, who ties.

Everything here is a function of the set of records; their order changes nothing.
"""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean
from typing import Any

from bench.aggregate.reference import MEAN
from bench.aggregate.statistics import Estimate, estimate
from bench.case import Case
from bench.protocol import PROFILES
from bench.record import Record
from bench.study import Study

UNKNOWN_ENVIRONMENT = "unknown environment"


@dataclass(frozen=True)
class ComparableRuns:
    """The finished records that may share a table.

    Attributes:
        profile: Profile, that is, budget; two profiles are never compared.
        environment: Class of machine the runs were made on.
        records: The newest record of each configuration and replicate.
        superseded: Number of older runs under another recipe, data or weights.
    """

    profile: str
    environment: str
    records: tuple[Record, ...]
    superseded: int


@dataclass(frozen=True)
class Row:
    """One configuration, averaged over its replicates, on one category or the mean of several.

    Attributes:
        label: Variant, with the augmentation where it is not the default.
        cells: The records, grouped by category.
        study: Study whose table it stands in.
        replicates: Replicates that every category has.
    """

    label: str
    cells: tuple[tuple[Record, ...], ...]
    study: Study
    replicates: tuple[int, ...]

    @property
    def case(self) -> Case:
        """Return a case of the row; its category and replicate stand for all."""
        return self.cells[0][0].case

    @property
    def name(self) -> str:
        """Return label and initialization."""
        return f"{self.label} {self.case.init}"

    @property
    def records(self) -> list[Record]:
        """Return the records of every category."""
        return [record for cell in self.cells for record in cell]

    @property
    def heads(self) -> tuple[str, ...]:
        """Return the heads that the study shows; the first ranks."""
        return self.study.heads_of(self.cells[0][0])

    @property
    def ranking(self) -> Estimate | None:
        """Return the mean of the metric that ranks."""
        return estimate(self.ranking_values())

    def ranking_values(self) -> list[float]:
        """Return the metric that ranks, by replicate."""
        return self.values(self.heads[0], self.study.ranking_metric.name)

    def metric(self, head: str, name: str) -> Estimate | None:
        """Return a metric's mean over replicates; None if no replicate has it in every category."""
        return estimate(self.values(head, name))

    def values(self, head: str, name: str) -> list[float]:
        """Return a metric's value for each replicate that has one in every category."""
        return self._by_replicate(lambda record: record.metrics.get(head, {}).get(name))

    def measurement(self, name: str) -> Estimate | None:
        """Return a measurement's mean over replicates."""
        return estimate(self._by_replicate(lambda record: _measurement(record, name)))

    def _by_replicate(self, read: Callable[[Record], float | None]) -> list[float]:
        # Categories are averaged within a replicate first: what is left is the spread between
        # replicates, not the one between categories.
        values = [
            {
                record.case.replicate: value
                for record in cell
                if (value := read(record)) is not None and math.isfinite(value)
            }
            for cell in self.cells
        ]
        shared = set.intersection(*map(set, values))
        return [fmean(cell[replicate] for cell in values) for replicate in sorted(shared)]


@dataclass(frozen=True)
class Table:
    """The rows of one category, or of the mean over a dataset's categories.

    Attributes:
        category: Category id; empty for a dataset without categories, `MEAN` for their mean.
        records: The records behind the rows.
        rows: Comparable rows, the best first.
        partial: Rows of a mean that lack categories; never ranked.
        shared: Categories that the rows of a mean share.
    """

    study: Study
    dataset: str
    category: str
    records: list[Record]
    rows: list[Row]
    partial: Sequence[Row] = ()
    shared: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Return ``dataset.category``."""
        return ".".join(filter(None, (self.dataset, self.category)))


def _measurement(record: Record, name: str) -> float | None:
    """Return a measurement; None for a speed of a run that shared its device."""
    speed = name.endswith(("_per_s", "_ms"))
    shared = record.environment.get("exclusive") is False
    return None if speed and shared else record.measurements.get(name)


def comparable_runs(records: Iterable[Record]) -> list[ComparableRuns]:
    """Group finished records by profile and class of environment, in the profiles' order.

    Only the newest record of a key counts, and only the newest variant of a configuration (a
    recipe, data and weights): replicates of two variants are never averaged.
    """
    finished = [record for record in records if record.status == "ok"]
    order = {name: position for position, name in enumerate(PROFILES)}

    def section(record: Record) -> tuple[int, str, str]:
        profile = record.key.profile
        environment = str(record.environment.get("class") or UNKNOWN_ENVIRONMENT)
        return order.get(profile, len(order)), profile, environment

    sections = []
    for (_, profile, environment), group in grouped(finished, section).items():
        ordered = sorted(group, key=recency_key)
        newest = {record.key: record for record in ordered}
        variants = {record.case.configuration: _variant(record) for record in ordered}
        current = [r for r in newest.values() if variants[r.case.configuration] == _variant(r)]
        current.sort(key=lambda record: record.key.id)
        left_out = len(newest) - len(current)
        sections.append(ComparableRuns(profile, environment, tuple(current), left_out))
    return sections


def grouped(records: Iterable[Record], key: Callable[[Record], Any]) -> dict[Any, list[Record]]:
    """Return records by a key, sorted by it; within a group they keep their order."""
    ordered = sorted(records, key=key)
    return {value: list(group) for value, group in groupby(ordered, key)}


def recency_key(record: Record) -> tuple[str, str, str]:
    """Return a key that sorts the oldest first and breaks ties in a fixed way."""
    rest = [record.key.id, record.status, record.metrics, record.measurements, record.error]
    return record.finished, record.started, json.dumps(rest, sort_keys=True)


def by_data(records: Iterable[Record]) -> dict[tuple[str, str], list[Record]]:
    """Return records by (dataset, category), sorted; without categories, that is ``""``."""
    return grouped(records, lambda record: (record.case.dataset, record.case.category or ""))


def tables(records: Iterable[Record], study: Study) -> Iterator[Table]:
    """Yield a study's tables by dataset: the mean over its categories, then each category."""
    for dataset, of_dataset in grouped(records, lambda record: record.case.dataset).items():
        cells = by_data(of_dataset)
        if len(cells) > 1:
            rows, partial, shared = mean_rows(of_dataset, study)
            yield Table(study, dataset, MEAN, of_dataset, rows, partial, shared)
        for (_, category), of_category in cells.items():
            yield Table(study, dataset, category, of_category, category_rows(of_category, study))


def category_rows(records: Iterable[Record], study: Study) -> list[Row]:
    """Return a row per configuration of one category's records, the best first."""
    rows = [_row([cell], study) for cell in _by_configuration(records).values()]
    return sorted(rows, key=_best_first)


def mean_rows(
    records: Iterable[Record], study: Study
) -> tuple[list[Row], list[Row], tuple[str, ...]]:
    """Return the rows of the mean over one dataset's categories.

    Args:
        records: Records of one dataset.
        study: Study whose table the rows stand in.

    Returns:
        The rows that share a set of categories, the best first; the rows that lack some of them,
        each over what it has; and that set, chosen to hold the most (row, category) pairs.
    """
    cells: dict[tuple[str, ...], dict[str, list[Record]]] = defaultdict(dict)
    for (_, category), of_category in by_data(records).items():
        for configuration, cell in _by_configuration(of_category).items():
            hashes = (cell[0].key.recipe, cell[0].key.weights)
            cells[configuration + hashes][category] = cell
    sets = [frozenset(categories) for categories in cells.values()]
    shared = max(
        sets, key=lambda names: (len(names) * sum(names <= other for other in sets), sorted(names))
    )
    counts = Counter(key[:3] for key in cells)
    ranked: list[Row] = []
    partial: list[Row] = []
    for key, categories in sorted(cells.items()):
        complete = shared <= categories.keys()
        names = sorted(shared if complete else categories)
        # Tells rows apart whose categories ran under several recipes or weights.
        suffix = f"(recipe {key[3][:8]}, weights {key[4][:8]})" if counts[key[:3]] > 1 else ""
        row = _row([categories[name] for name in names], study, suffix)
        (ranked if complete else partial).append(row)
    return sorted(ranked, key=_best_first), partial, tuple(sorted(shared))


def ranks(rows: Sequence[Row]) -> list[str]:
    """Return a rank for each row of a list that has the best first.

    A row ties with the best row of its rank while their intervals overlap (``1=``); the first whose
    interval lies wholly on the worse side starts the next rank. A single replicate has no interval:
    its place in the list is given in parentheses and it takes no part in this.
    """
    places: list[tuple[int, bool]] = []
    leader: Estimate | None = None
    leading = ranked = 0
    for position, row in enumerate(rows, start=1):
        value = row.ranking
        if value is None or value.half_width is None:
            places.append((position if value else 0, False))
            continue
        ranked += 1
        if leader is None or _worse(value, leader, row.study.ranking_metric.higher_is_better):
            leader, leading = value, ranked
        places.append((leading, True))
    return [_rank(place, places.count(place)) for place in places]


def _worse(value: Estimate, leader: Estimate, higher_is_better: bool) -> bool:
    return value.high < leader.low if higher_is_better else value.low > leader.high


def _rank(place: tuple[int, bool], holders: int) -> str:
    position, ranked = place
    if not ranked:
        return f"({position})" if position else "–"
    return f"{position}=" if holders > 1 else f"{position}"


def _variant(record: Record) -> tuple[str, str, str]:
    return record.key.recipe, record.key.data, record.key.weights


def _by_configuration(records: Iterable[Record]) -> dict[tuple[str, str, str], list[Record]]:
    ordered = sorted(records, key=lambda record: record.case.replicate)
    return grouped(ordered, lambda r: (r.case.variant, r.case.augmentation, r.case.init))


def _row(cells: Sequence[Sequence[Record]], study: Study, suffix: str = "") -> Row:
    case = cells[0][0].case
    augmentation = "" if case.augmentation == "default" else case.augmentation
    replicates = set.intersection(*({record.case.replicate for record in cell} for cell in cells))
    return Row(
        label=" ".join(filter(None, (case.variant, augmentation, suffix))),
        cells=tuple(map(tuple, cells)),
        study=study,
        replicates=tuple(sorted(replicates)),
    )


def _best_first(row: Row) -> tuple[float, str]:
    value = row.ranking
    return -row.study.ranking_metric.sort_key(value.mean if value else None), row.name
