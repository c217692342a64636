"""Everything that the leaderboard shows, aggregated and ranked once for all formats."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from bench.aggregate.frame import ComparableRuns, comparable_runs
from bench.aggregate.modes import is_usual
from bench.aggregate.ranking import RankedRow, Ranking, rank_rows
from bench.aggregate.reference import MEAN, Reference
from bench.aggregate.rows import Table, tables
from bench.record import Record
from bench.report.machine_names import short_names
from bench.studies import STUDIES, by_study
from bench.study import Study
from datasets_lib.catalog import DATASETS


@dataclass(frozen=True)
class RankedTable:
    """A table with its ranking.

    Attributes:
        table: The rows.
        ranking: The rows in order, with their ranks.
        references: Published values on the same data.
    """

    table: Table
    ranking: Ranking
    references: tuple[Reference, ...] = ()

    @property
    def rows(self) -> Sequence[RankedRow]:
        """Return the rows in order."""
        return self.ranking.rows

    @property
    def is_mean(self) -> bool:
        """Return whether it is the mean over a dataset's categories."""
        return self.table.category == MEAN


@dataclass(frozen=True)
class StudyRuns:
    """One study's records from one profile and class of environment, as ranked tables.

    Attributes:
        study: The study.
        runs: Its records.
        machine: Short name of the class of environment, unique on the board.
        tables: Its tables: for each dataset the mean, then the categories.
    """

    study: Study
    runs: ComparableRuns
    machine: str
    tables: tuple[RankedTable, ...]

    @property
    def section_title(self) -> str:
        """Return the profile and the short name of the machine."""
        return f"`{self.runs.profile}`, {self.machine}"

    @cached_property
    def main(self) -> tuple[RankedTable, ...]:
        """Return the tables that answer the study: means, or categories of datasets without one."""
        means = {self._group(each) for each in self.tables if each.is_mean}
        return tuple(t for t in self.tables if t.is_mean or self._group(t) not in means)

    @cached_property
    def usual(self) -> ComparableRuns:
        """Return its records of one model per category and all training images."""
        return replace(self.runs, records=tuple(filter(is_usual, self.runs.records)))

    @property
    def details(self) -> tuple[RankedTable, ...]:
        """Return the tables of single categories."""
        return tuple(each for each in self.tables if not each.is_mean)

    @staticmethod
    def _group(ranked: RankedTable) -> tuple[str, str]:
        return ranked.table.dataset, ranked.table.mode


@dataclass(frozen=True)
class Board:
    """All tables of some records.

    Attributes:
        records: Every record, finished or not.
        sections: The finished ones, by profile and class of environment.
        studies: By study, then by section.
        machines: Short name of each class of environment.
    """

    records: Sequence[Record]
    sections: Sequence[ComparableRuns]
    studies: Sequence[StudyRuns]
    machines: Mapping[str, str]


def make_board(records: Iterable[Record]) -> Board:
    """Return the tables of some records; the order of the records does not matter."""
    records = list(records)
    sections = comparable_runs(records)
    # Smoke runs measure nothing, so they come last.
    ordered = sorted(sections, key=lambda runs: runs.profile == "smoke")
    by_section = [
        (name, position, replace(runs, records=tuple(own)))
        for position, runs in enumerate(ordered)
        for name, own in by_study(runs.records).items()
    ]
    # Machines on which nothing finished have a name too, for what failed there.
    others = sorted({str(r.environment["class"]) for r in records if r.environment.get("class")})
    machines = short_names([*(runs.environment for runs in sections), *others])
    studies = [
        _study_runs(STUDIES[name], own, machines[own.environment])
        for name, _, own in sorted(by_section, key=_by_name)
    ]
    return Board(records, sections, studies, machines)


def _by_name(entry: tuple[str, int, ComparableRuns]) -> tuple[str, int]:
    return entry[:2]


def _study_runs(study: Study, runs: ComparableRuns, machine: str) -> StudyRuns:
    variants = {record.case.variant for record in runs.records}
    references: list[Reference] = study.call(study.references, variants)
    ranked = [
        RankedTable(each, rank_rows(each.rows), tuple(_of_table(references, each)))
        for each in tables(runs.records, study)
    ]
    return StudyRuns(study, runs, machine, tuple(ranked))


def _of_table(references: Iterable[Reference], table: Table) -> list[Reference]:
    """Return the published values on a table's data; for a mean only if it has all categories."""
    if table.mode or not table.rows:
        return []
    entry = DATASETS.get(table.dataset)
    if table.category == MEAN and (entry is None or set(table.shared) != set(entry.categories)):
        return []
    own = table.dataset, table.category
    return [r for r in references if (r.dataset, r.category) == own]
