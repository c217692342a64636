"""The leaderboard: every table of the project in several formats, pure functions of records."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from bench.aggregate.frame import comparable_runs
from bench.aggregate.language import language, say
from bench.aggregate.markdown import EMPTY, bold, metric_text, quantity, seeds
from bench.aggregate.ranking import RankedRow, rank_rows
from bench.aggregate.reference import MEAN
from bench.aggregate.rows import Table, tables
from bench.record import Record
from bench.report.board import Board, RankedTable, StudyRuns, make_board
from bench.report.footnotes import Footnotes
from bench.report.leaderboard_cost import charges_table, cost_table
from bench.report.leaderboard_csv import board_csv, board_json
from bench.report.leaderboard_defects import defect_table
from bench.report.leaderboard_html import page_of
from bench.report.leaderboard_notes import (
    interval_width,
    kind_of_runs,
    provenance,
    unfinished,
    without_study,
)
from bench.report.leaderboard_overview import overview
from bench.report.leaderboard_published import published_table
from bench.report.leaderboard_tables import quality_tables, study_table
from bench.studies import STUDIES
from datasets_lib.atomic import atomic_path

__all__ = [
    "leaderboard_csv",
    "leaderboard_markdown",
    "summary_rows",
    "write_board",
    "write_leaderboard",
]


def write_leaderboard(
    records: Sequence[Record],
    folder: Path,
    formats: Sequence[str] = ("md", "csv"),
    lang: str = "en",
) -> tuple[Path, ...]:
    """Write ``LEADERBOARD.md`` and other formats, replacing older files; return their paths.

    Args:
        records: Records to tabulate.
        folder: Folder to write to.
        formats: Names among `FORMATS`.
        lang: Language of the words, ``en`` or ``ko``; files for machines are always English.

    Raises:
        OSError: A file could not be written; an older one stays intact.
    """
    boards: dict[str, Board] = {}
    paths = []
    for name in formats:
        own = "en" if name in _FOR_MACHINES else lang
        with language(own):
            if own not in boards:
                boards[own] = make_board(records)
            paths += write_board(boards[own], folder, [name])
    return tuple(paths)


def write_board(board: Board, folder: Path, formats: Sequence[str] = ("md", "csv")) -> list[Path]:
    """Write the tables of an existing board; see `write_leaderboard`."""
    paths = []
    for name in formats:
        paths.append(folder / f"LEADERBOARD.{name}")
        with atomic_path(paths[-1]) as temporary:
            # A folder's name, which is that of a kind of defect, may be no valid text.
            text = FORMATS[name](board)
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
    return paths


def leaderboard_markdown(records: Iterable[Record]) -> str:
    """Return every table as Markdown; the order of the records does not matter."""
    return _markdown(make_board(records))


def leaderboard_csv(records: Iterable[Record]) -> str:
    """Return every row of every table at full precision; see `board_csv`."""
    return board_csv(make_board(records))


def _markdown(board: Board) -> str:
    notes = Footnotes()
    parts = [f"# {say('Leaderboard')}"]
    parts.append(
        say(
            "Generated from the records by `python -m bench leaderboard`; no number is entered "
            "by hand. Quality is in percent. Tables never mix profiles or machines. The columns "
            "are explained [at the end](#what-the-columns-mean)."
        )
    )
    if not board.studies:
        parts.append(say("No finished runs yet."))
    else:
        parts.append(f"## {say('Overview')}")
        parts.extend(overview(board, notes))
    for name, group in groupby(board.studies, key=lambda own: own.study.name):
        of_study = list(group)
        study = of_study[0].study
        parts.append(f"## {say('Study')} `{name}`")
        if study.layout_note:
            parts.append(say(study.layout_note))
        stated: set[str] = set()
        for own in of_study:
            parts.extend(_study(own, notes, stated))
        shown = [record for own in of_study for record in own.runs.records]
        parts.extend(study.call(study.background, study, shown))
    details = [own for own in board.studies if own.details]
    if details:
        parts.append(f"## {say('Details by category')}")
    for own in details:
        for ranked in own.details:
            parts.append(f"### {ranked.table.data_title}: `{own.study.name}`, {own.section_title}")
            parts.extend(_details(own, ranked, notes))
    if board.sections:
        parts.append(f"## {say('Runs')}")
    for runs in board.sections:
        machine = board.machines[runs.environment]
        parts += [f"### {say('Profile')} `{runs.profile}`, {machine}", provenance(runs)]
    parts.extend(without_study(board.records))
    parts.extend(unfinished(board.records, board.machines))
    parts.extend(notes.definitions())
    return "\n\n".join(parts) + "\n"


def _study(own: StudyRuns, notes: Footnotes, stated: set[str]) -> Iterator[str]:
    """Yield a study's own tables and conclusions under one profile on one machine.

    Args:
        own: The study's runs there.
        notes: The document's notes, to which new ones are added.
        stated: The study's conclusions so far; new ones are added, equal ones not repeated.
    """
    yield f"### {say('Profile')} {own.section_title}"
    yield kind_of_runs(own.runs)
    study = own.study
    reported: list[str] = []
    if own.usual.records:
        reported = study.call(study.report, study, own.usual)
    if study.layout or not reported:
        for ranked in own.main:
            yield f"#### {ranked.table.title}"
            yield from study_table(ranked, own.runs.profile, notes)
            yield from published_table(ranked, own.runs.profile, notes)
    if (text := "\n\n".join(reported)) not in stated:
        stated.add(text)
        yield from reported


def _details(own: StudyRuns, ranked: RankedTable, notes: Footnotes) -> Iterator[str]:
    """Yield every column of one category: quality, defects, cost, published values."""
    rows = [each.row for each in ranked.rows]
    yield from quality_tables(ranked, notes)
    yield from interval_width(own.study, ranked.table.records)
    yield from defect_table(rows, notes)
    yield bold(say("Cost"))
    yield from cost_table(rows, notes)
    yield from charges_table(rows)
    if ranked not in own.main or not own.study.layout:
        yield from published_table(ranked, own.runs.profile, notes)


def _html(board: Board) -> str:
    return page_of(_markdown(board))


FORMATS: Mapping[str, Callable[[Board], str]] = {
    "md": _markdown,
    "csv": board_csv,
    "html": _html,
    "json": board_json,
}
"""Functions that format the leaderboard, by file extension."""

_FOR_MACHINES = ("csv", "json")
_TOP = 3  # configurations of a category in the summary


def readme_block(records: Iterable[Record], study: str, data_title: str) -> str:
    """Return one table with its footnotes, for a README.

    Args:
        records: Records to tabulate.
        study: Name of a study.
        data_title: Dataset and category; the profile and machine with the most rows is shown.

    Raises:
        KeyError: The records have no such table.
    """
    notes = Footnotes()
    candidates = [
        (len(ranked.rows), own, ranked)
        for own in make_board(records).studies
        for ranked in own.main
        if own.study.name == study and ranked.table.data_title == data_title
    ]
    if not candidates:
        raise KeyError(f"the records have no table of {study} on {data_title}")
    _, own, ranked = max(candidates, key=lambda candidate: candidate[0])
    parts = [f"{own.section_title}:", *study_table(ranked, own.runs.profile, notes)]
    summary = f"<details><summary>{say('What the columns mean')}</summary>"
    parts += [summary, notes.terms(), "</details>"]
    block = "\n\n".join(parts)
    return "\n\n".join(filter(None, (block, notes.only(block))))


def summary_rows(records: Iterable[Record]) -> list[str]:
    """Return the best configurations of each category as aligned lines for a terminal.

    A study adds its lines only if it has records that no earlier study showed; lines name the study
    where two have a table of one category. Where records of several profiles or machines are given,
    a line with both precedes the lines of each.
    """
    sections = comparable_runs(records)
    lines: list[str] = []
    for runs in sections:
        if len(sections) > 1:
            lines.append(f"profile {runs.profile} on {runs.environment}")
        if runs.profile == "smoke":
            lines.append(kind_of_runs(runs))
        shown = list(_summary_tables(runs.records))
        counts = Counter(table.data_title for table in shown)
        cells: list[tuple[str, ...]] = []
        for table in shown:
            study = f" ({table.study.name})" if counts[table.data_title] > 1 else ""
            cells += _summary_cells(table.data_title + study, rank_rows(table.rows).rows)
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines.extend("  ".join(map(str.ljust, cell, widths)).rstrip() for cell in cells)
    return lines


def _summary_tables(records: Sequence[Record]) -> Iterator[Table]:
    """Yield the tables of categories of each study that has records that no earlier one showed."""
    shown: set[str] = set()
    for study in STUDIES.values():
        of_study = [record for record in records if study.shows(record)]
        ids = {record.key.id for record in of_study}
        if not ids <= shown:
            shown |= ids
            yield from (each for each in tables(of_study, study) if each.category != MEAN)


def _summary_cells(title: str, rows: Sequence[RankedRow]) -> Iterator[tuple[str, ...]]:
    alone = sum(each.ranked for each in rows) == 1
    for position, best in enumerate(rows[:_TOP], start=1):
        row = best.row
        metric = row.study.ranking_metric
        value = f"{metric.short or metric.heading} {metric_text(row.ranking, metric)}"
        if len(row.records[0].metrics) > 1:
            value += f" ({row.heads[0]})"
        speed = row.measurement("inference_images_per_s")
        notes = [seeds(len(row.replicates))]
        if EMPTY in best.rank[1:]:
            notes.append("not shown to differ from others")
        if best.ranked and alone:
            notes.append("the only row with a rank")
        if best.reasons:
            notes.append(f"no rank: {best.reasons[0]}")
        if position == _TOP < len(rows):
            notes.append(f"{len(rows) - _TOP} more in the leaderboard")
        yield (
            title,
            best.rank,
            row.name,
            value,
            f"{quantity(speed)} images/s" if speed else EMPTY,
            ", ".join(notes),
        )
