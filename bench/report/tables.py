"""From records to the rows of a table: which records count, what is averaged, who ties.

Everything here is a function of the set of records; their order changes nothing.
"""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.protocol import PROFILES
from bench.record import Record
from bench.report.statistics import Estimate, estimate
from bench.studies import STUDIES, table_spec_of
from bench.table_spec import TableSpec

UNKNOWN_ENVIRONMENT = "unknown environment"


@dataclass(frozen=True)
class ComparableRuns:
    """The finished records that may share a table.

    Attributes:
        profile: Budget; figures of two profiles are never compared.
        environment: Class of machine they ran on.
        records: One a configuration and seed, the newest.
        superseded: How many older runs under another recipe, data or weights were left out.
    """

    profile: str
    environment: str
    records: tuple[Record, ...]
    superseded: int


@dataclass(frozen=True)
class Row:
    """One configuration, averaged over its seeds, on one category or the mean of several.

    Attributes:
        label: Model value, with the augmentation where it is not the default.
        categories: How many categories it is the mean of.
        seeds: Seed indices all of them have.
        cells: The records, one group a category.
        table_spec: How the study it stands in ranks and shows it.
    """

    label: str
    pretrained: bool
    categories: int
    seeds: tuple[int, ...]
    cells: tuple[tuple[Record, ...], ...]
    table_spec: TableSpec

    @property
    def model(self) -> str:
        """The case's model value, with its recipe."""
        return str(self.cells[0][0].case.variant)

    @property
    def start(self) -> str:
        """``pretrained`` or ``scratch``."""
        return "pretrained" if self.pretrained else "scratch"

    @property
    def name(self) -> str:
        """Label and start."""
        return f"{self.label} {self.start}"

    @property
    def ranking(self) -> Estimate | None:
        """The figure that ranks it."""
        return estimate(self.ranking_values())

    def ranking_values(self) -> list[float]:
        """The figure that ranks it, for each seed that has one in every category."""
        return self.seed_values(self.table_spec.heads[0], self.table_spec.ranking)

    def metric(self, head: str, name: str) -> Estimate | None:
        """A metric's mean over seeds; None where a category has no value."""
        return estimate(self.seed_values(head, name))

    def seed_values(self, head: str, name: str) -> list[float]:
        """A metric's value for each seed that has one in every category."""
        return self._by_seed(lambda record: self.table_spec.figures_of(record, head).get(name))

    def measurement(self, name: str) -> Estimate | None:
        """A measurement's mean over seeds; None where a category has no value."""
        return estimate(self._by_seed(lambda record: _measured(record, name)))

    def _by_seed(self, read: Callable[[Record], float | None]) -> list[float]:
        """Average categories within each seed, so that what is left is the spread over seeds."""
        values = [
            {
                record.case.replicate: value
                for record in cell
                if (value := read(record)) is not None and math.isfinite(value)
            }
            for cell in self.cells
        ]
        shared = set.intersection(*(set(cell) for cell in values))
        return [fmean(cell[seed] for cell in values) for seed in sorted(shared)]


def _measured(record: Record, name: str) -> float | None:
    """A measurement; no speed of a run that had to share its device."""
    speed = name.endswith(("_per_s", "_ms"))
    shared = record.environment.get("exclusive") is False
    return None if speed and shared else record.measurements.get(name)


def comparable_runs(records: Iterable[Record]) -> list[ComparableRuns]:
    """Group finished records by profile and class of environment, in the profiles' order."""
    grouped: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        if record.status == "ok":
            grouped[record.key.profile, environment_class(record)].append(record)
    order = {name: position for position, name in enumerate(PROFILES)}
    keys = sorted(grouped, key=lambda key: (order.get(key[0], len(order)), key))
    return [ComparableRuns(*key, *_current(grouped[key])) for key in keys]


def environment_class(record: Record) -> str:
    """The class of machine a record was made on."""
    return str(record.environment.get("class") or UNKNOWN_ENVIRONMENT)


def recency_key(record: Record) -> tuple[str, str, str]:
    """Sorts the oldest first; two records of one instant are put in a fixed order."""
    shown = [record.key.id, record.status, record.metrics, record.measurements, record.error]
    return record.finished, record.started, json.dumps(shown, sort_keys=True)


def by_data(records: Iterable[Record]) -> dict[tuple[str, str], list[Record]]:
    """Records by (dataset, category), sorted; a dataset without categories has ``""``."""
    grouped: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        grouped[record.case.dataset, record.case.category or ""].append(record)
    return dict(sorted(grouped.items()))


def by_study(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Return records by study; a record may stand in several."""
    records = list(records)
    grouped = {s.name: [r for r in records if s.selects(r.case)] for s in STUDIES.values()}
    return {name: grouped[name] for name in sorted(grouped) if grouped[name]}


def category_rows(records: Iterable[Record], shown: TableSpec | None = None) -> list[Row]:
    """One row a configuration, of one category's records; the best first.

    Args:
        records: Of one study, or that stand in its tables.
        shown: The study's presentation; None means each record's own.
    """
    rows = [_row([cell], shown) for cell in _by_configuration(records).values()]
    return sorted(rows, key=_best_first)


def mean_rows(
    records: Iterable[Record], shown: TableSpec | None = None
) -> tuple[list[Row], list[Row], tuple[str, ...]]:
    """Rows of the mean over one dataset's categories.

    Args:
        records: As of `category_rows`.
        shown: Likewise.

    Returns:
        The rows that share a set of categories, the best first; the rows that lack some of it,
        each over what it has; and that set, chosen to hold the most (row, category) pairs.
    """
    cells: dict[tuple[str, ...], dict[str, list[Record]]] = defaultdict(dict)
    for (_, category), of_category in by_data(records).items():
        for configuration, cell in _by_configuration(of_category).items():
            recipe = (cell[0].key.recipe, cell[0].key.weights)
            cells[configuration + recipe][category] = cell
    sets = [frozenset(have) for have in cells.values()]
    shared = max(
        sets, key=lambda have: (len(have) * sum(have <= other for other in sets), sorted(have))
    )
    labels = _variants(cells)
    ranked, partial = [], []
    for key, have in sorted(cells.items()):
        if shared <= have.keys():
            ranked.append(_row([have[name] for name in sorted(shared)], shown, labels[key]))
        else:
            partial.append(_row([have[name] for name in sorted(have)], shown, labels[key]))
    return sorted(ranked, key=_best_first), partial, tuple(sorted(shared))


def ranks(rows: Sequence[Row]) -> list[str]:
    """A rank for each row of a list that has the best first.

    A row ties with the best row of its rank while their intervals over seeds overlap (``1=``); the
    first whose interval lies wholly below starts the next rank. A single seed has no interval: its
    place in the list is given in brackets and it takes no part in this.
    """
    places: list[tuple[int, bool]] = []
    leader: Estimate | None = None
    leading = ranked = 0
    for position, row in enumerate(rows, start=1):
        found = row.ranking
        if found is None or found.half_width is None:
            places.append((position if found else 0, False))
            continue
        ranked += 1
        if leader is None or found.high < leader.low:
            leader, leading = found, ranked
        places.append((leading, True))
    return [_rank(place, places.count(place)) for place in places]


def _rank(place: tuple[int, bool], holders: int) -> str:
    position, ranked = place
    if not ranked:
        return f"({position})" if position else "–"
    return f"{position}=" if holders > 1 else f"{position}"


def _current(records: list[Record]) -> tuple[tuple[Record, ...], int]:
    """The newest record a seed, of the newest variant a configuration; how many others there are.

    A variant is a recipe, data and weights: seeds of two variants are never averaged.
    """
    newest = {record.key: record for record in sorted(records, key=recency_key)}
    variants: dict[tuple[str, ...], dict[tuple[str, ...], list[Record]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for record in newest.values():
        case, key = record.case, record.key
        configuration = (key.id.rpartition("-")[0],)
        variants[configuration][key.recipe, key.data, key.weights].append(record)
    current = [
        record
        for candidates in variants.values()
        for record in max(candidates.values(), key=lambda group: max(map(recency_key, group)))
    ]
    current.sort(key=lambda record: record.key.id)
    return tuple(current), len(newest) - len(current)


def _by_configuration(records: Iterable[Record]) -> dict[tuple[str, ...], list[Record]]:
    grouped: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda record: record.case.replicate):
        case = record.case
        start = "pretrained" if case.pretrained else "scratch"
        grouped[case.variant, case.augmentation, start].append(record)
    return dict(sorted(grouped.items()))


def _row(cells: Sequence[Sequence[Record]], shown: TableSpec | None, variant: str = "") -> Row:
    case = cells[0][0].case
    extra = [case.augmentation] if case.augmentation != "default" else []
    seeds = set.intersection(*({record.case.replicate for record in cell} for cell in cells))
    return Row(
        label=" ".join([case.variant, *extra, *([variant] if variant else [])]),
        pretrained=case.pretrained,
        categories=len(cells),
        seeds=tuple(sorted(seeds)),
        cells=tuple(tuple(cell) for cell in cells),
        table_spec=shown or table_spec_of(cells[0][0]),
    )


def _variants(keys: Mapping[tuple[str, ...], object]) -> dict[tuple[str, ...], str]:
    """Names to tell rows apart where categories ran under several recipes or weights."""
    alike: dict[tuple[str, ...], int] = defaultdict(int)
    for key in keys:
        alike[key[:3]] += 1
    return {
        key: f"(recipe {key[3][:8]}, weights {key[4][:8]})" if alike[key[:3]] > 1 else ""
        for key in keys
    }


def _best_first(row: Row) -> tuple[float, str]:
    found = row.ranking
    return (-found.mean if found else math.inf, row.name)
