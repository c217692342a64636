"""What the page is made of: runs with their files, and the tables that they appear in."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench.aggregate.frame import ComparableRuns, newest_runs, recency_key
from bench.aggregate.language import say
from bench.aggregate.markdown import EMPTY
from bench.aggregate.ranking import RankedRow
from bench.aggregate.reference import MEAN
from bench.aggregate.rows import Row, Table
from bench.record import Key, Record
from bench.regression.ledger import Alarm, Ledger
from bench.report.board import Board, RankedTable, make_board
from bench.report.finished_run import FinishedRun
from bench.store import read_records


@dataclass(frozen=True)
class Group:
    """A ranked table, and where its runs were made.

    Attributes:
        section: Profile and machine, short.
        environment: Class of environment, whole.
        ranked: Table of a study with its ranking, as the leaderboard shows it.
        partial: Rows of a mean that lack categories: they have values by category alone.
    """

    section: str
    environment: str
    ranked: RankedTable
    partial: tuple[RankedRow, ...] = ()

    @property
    def table(self) -> Table:
        """Return the table without its ranking."""
        return self.ranked.table

    @property
    def rows(self) -> Sequence[RankedRow]:
        """Return its rows in order."""
        return self.ranked.rows

    @property
    def title(self) -> str:
        """Return the table's title, study and section."""
        return f"{self.table.title} · {self.table.study.name} · {self.section}"


@dataclass(frozen=True)
class Question:
    """One study's rows of one dataset on one machine: a mean and its categories, or one category.

    Attributes:
        main: The mean over categories, or the only category.
        categories: The tables of categories, if there are several.
    """

    main: Group
    categories: tuple[Group, ...] = ()

    @property
    def groups(self) -> tuple[Group, ...]:
        """Return all of its tables, the main one first."""
        return self.main, *self.categories


class Source:
    """All runs of some record files, and everything the page derives from them.

    Args:
        files: JSONL files of records, in any order, each in a folder of a results folder.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        files = list(files)
        self._folders = sorted({file.parent.parent for file in files})
        runs = [FinishedRun(r, file) for file in sorted(set(files)) for r in read_records([file])]
        self.runs = sorted(runs, key=lambda run: (recency_key(run.record), run.file.name))

    @cached_property
    def records(self) -> list[Record]:
        """Every record, oldest first."""
        return [run.record for run in self.runs]

    @cached_property
    def board(self) -> Board:
        """The tables of the leaderboard, whose rows, ranks and reasons the page shows."""
        return make_board(self.records)

    @property
    def sections(self) -> Sequence[ComparableRuns]:
        """Finished records by profile and machine."""
        return self.board.sections

    @cached_property
    def alarms(self) -> list[Alarm]:
        """The confirmed regressions that nights found in these results folders, oldest first."""
        alarms = [alarm for folder in self._folders for alarm in Ledger(folder).alarms]
        return sorted(alarms, key=lambda alarm: (alarm.raised, alarm.id))

    @cached_property
    def groups(self) -> list[Group]:
        """Every table of every study, in the order of the leaderboard."""
        return [
            Group(
                f"{own.runs.profile}, {own.machine}",
                own.runs.environment,
                ranked,
                tuple(_unranked(row, ranked.table) for row in ranked.table.partial),
            )
            for own in self.board.studies
            for ranked in own.tables
        ]

    @cached_property
    def questions(self) -> list[Question]:
        """The groups by study, dataset, mode and machine; those with most ranked rows first."""
        by_question: dict[tuple[object, ...], list[Group]] = {}
        for group in self.groups:
            table = group.table
            key = (group.section, group.environment, table.study.name, table.dataset, table.mode)
            by_question.setdefault(key, []).append(group)
        questions = [
            Question(own[0], tuple(own[1:])) if own[0].table.category == MEAN else Question(own[0])
            for own in by_question.values()
        ]
        return sorted(questions, key=_most_telling)

    @cached_property
    def lines(self) -> list[tuple[Group, RankedRow]]:
        """Every row of every table, in the order of the questions."""
        groups = [group for question in self.questions for group in question.groups]
        whole = [(group, row) for group in groups for row in group.rows]
        return [*whole, *((group, row) for group in groups for row in group.partial)]

    @cached_property
    def shown(self) -> list[FinishedRun]:
        """The runs that have a page: those in a table, and the newest of cases that failed."""
        chosen = {id(record) for runs in self.sections for record in runs.records}
        chosen |= {id(record) for record in self.failed}
        return [run for run in self.runs if id(run.record) in chosen]

    @cached_property
    def by_configuration(self) -> dict[tuple[str, ...], list[Record]]:
        """The records that have a page, by configuration, profile and machine."""
        by_configuration: dict[tuple[str, ...], list[Record]] = {}
        for run in self.shown:
            by_configuration.setdefault(_configuration(run.record), []).append(run.record)
        return by_configuration

    @cached_property
    def _writers(self) -> dict[tuple[Path, Key], Record]:
        """The newest run of each key in each results folder: it has overwritten older runs' files.

        A record that was copied there counts only where no session of the folder ran its case.
        """
        evaluated = [run for run in self.runs if run.record.metrics]
        return {
            (run.folder, run.record.key): run.record
            for run in sorted(evaluated, key=lambda run: run.own)
        }

    def has_its_files(self, run: FinishedRun) -> bool:
        """Return whether the files of a run's case are its own, not those of another run."""
        writer = self._writers.get((run.folder, run.record.key))
        return writer is None or writer == run.record

    @cached_property
    def failed(self) -> list[Record]:
        """The newest records of cases whose newest run on a machine failed, by id."""
        newest = newest_runs(self.records)
        return [newest[key] for key in sorted(newest) if newest[key].status == "failed"]

    @cached_property
    def repeated(self) -> list[list[Record]]:
        """The finished runs of each case that finished more than once under the same conditions."""
        series: dict[tuple[str, ...], list[Record]] = {}
        for record in self.records:
            if record.status == "ok":
                key = record.key
                machine = str(record.environment.get("class"))
                conditions = key.id, key.profile, key.recipe, key.data, key.weights, machine
                series.setdefault(conditions, []).append(record)
        return [series[key] for key in sorted(series) if len(series[key]) > 1]


def _unranked(row: Row, table: Table) -> RankedRow:
    """Return a row of a mean that lacks categories, with the reason that it has no rank."""
    count = {"own": len(row.categories), "all": len(table.shared)}
    return RankedRow(row, EMPTY, (say("{own} of {all} categories", **count),))


def page_name(record: Record) -> str:
    """Return the file name of a run's page: its id in plain letters, and a hash of its key."""
    key = record.key
    parts = key.id, key.profile, key.recipe, key.data, key.weights, record.finished
    text = "\0".join([*parts, str(record.environment.get("class"))])
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return f"{re.sub('[^A-Za-z0-9._-]+', '_', key.id)[:80]}-{digest}.html"


def replicates_of(record: Record, source: Source) -> list[Record]:
    """Return the other replicates of a run's configuration, on its machine, that have pages."""
    return [
        other for other in source.by_configuration[_configuration(record)] if other is not record
    ]


def _configuration(record: Record) -> tuple[str, ...]:
    key = record.key
    return record.case.configuration, key.profile, str(record.environment.get("class"))


def _most_telling(question: Question) -> tuple[int, bool]:
    """Return a key that sorts most ranked rows first, and smoke runs last among equals."""
    return -sum(map(_ranked, question.groups)), question.main.section.startswith("smoke,")


def _ranked(group: Group) -> int:
    return sum(row.ranked for row in group.rows)
