"""The leaderboard: every table of the project as Markdown and CSV, pure functions of records."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bench.aggregate.frame import ComparableRuns, comparable_runs
from bench.aggregate.markdown import EMPTY, metric_text, quantity, seeds
from bench.aggregate.modes import is_usual
from bench.aggregate.ranking import Place, places
from bench.aggregate.reference import MEAN
from bench.aggregate.rows import tables
from bench.record import Record
from bench.report.leaderboard_csv import leaderboard_csv
from bench.report.leaderboard_notes import (
    empty_cells,
    how_to_read,
    interval_width,
    kind_of_runs,
    noted_cells,
    provenance,
    unfinished,
    without_study,
)
from bench.report.leaderboard_tables import cost_table, quality_tables
from bench.studies import STUDIES, by_study
from bench.study import Study
from datasets_lib.atomic import atomic_path
from datasets_lib.catalog import DATASETS

__all__ = ["leaderboard_csv", "leaderboard_markdown", "summary_rows", "write_leaderboard"]


def write_leaderboard(records: Sequence[Record], folder: Path) -> tuple[Path, Path]:
    """Write ``LEADERBOARD.md`` and ``LEADERBOARD.csv``, replacing older ones.

    Raises:
        OSError: A file could not be written; an older one is whole.
    """
    texts = {".md": leaderboard_markdown(records), ".csv": leaderboard_csv(records)}
    for suffix, text in texts.items():
        with atomic_path(folder / f"LEADERBOARD{suffix}") as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    return folder / "LEADERBOARD.md", folder / "LEADERBOARD.csv"


def leaderboard_markdown(records: Iterable[Record]) -> str:
    """Return every table as Markdown; the order of the records changes nothing."""
    records = list(records)
    sections = comparable_runs(records)
    parts = ["# Leaderboard", how_to_read(records)]
    if not sections:
        parts.append("No finished runs yet.")
    for runs in sections:
        parts.append(f"## Profile `{runs.profile}` on {runs.environment}")
        parts.append(provenance(runs))
        for name, of_study in by_study(runs.records).items():
            own = replace(runs, records=tuple(of_study))
            parts.extend(_study(STUDIES[name], own))
    parts.extend(without_study(records))
    parts.extend(unfinished(records))
    return "\n\n".join(parts) + "\n"


def summary_rows(records: Iterable[Record], top: int = 3) -> list[str]:
    """Return the best configurations of each category as aligned lines for a terminal.

    A study adds its lines only if it has records that no earlier study showed. Where records of
    several profiles or machines are given, a line with both precedes the lines of each.
    """
    sections = comparable_runs(records)
    lines: list[str] = []
    for runs in sections:
        if len(sections) > 1:
            lines.append(f"profile {runs.profile} on {runs.environment}")
        if runs.profile == "smoke":
            lines.append(kind_of_runs(runs))
        cells: list[tuple[str, ...]] = []
        shown: set[str] = set()
        for study in STUDIES.values():
            of_study = [record for record in runs.records if study.shows(record)]
            ids = {record.key.id for record in of_study}
            if ids <= shown:
                continue
            shown |= ids
            for table in tables(of_study, study):
                if table.category != MEAN:
                    cells += _summary_cells(table.place, places(table.rows), top)
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines.extend("  ".join(map(str.ljust, cell, widths)).rstrip() for cell in cells)
    return lines


def _summary_cells(place: str, rows: Sequence[Place], top: int) -> Iterator[tuple[str, ...]]:
    for position, best in enumerate(rows[:top], start=1):
        row = best.row
        metric = row.study.ranking_metric
        value = f"{metric.short or metric.heading} {metric_text(row.ranking, metric)}"
        speed = row.measurement("inference_images_per_s")
        notes = [seeds(len(row.replicates))]
        if "–" in best.rank[1:]:
            notes.append("not shown to differ from others")
        if best.reasons:
            notes.append(f"no rank: {best.reasons[0]}")
        if position == top < len(rows):
            notes.append(f"{len(rows) - top} more in the leaderboard")
        yield (
            place,
            best.rank,
            row.name,
            value,
            f"{quantity(speed)} images/s" if speed else EMPTY,
            ", ".join(notes),
        )


def _study(study: Study, runs: ComparableRuns) -> Iterator[str]:
    yield f"### Study `{study.name}`: {study.about}"
    usual = replace(runs, records=tuple(filter(is_usual, runs.records)))
    if usual.records:
        yield from study.call(study.report, study, usual)
    variants = {record.case.variant for record in usual.records}
    references = [r for r in study.call(study.references, variants) if r.in_tables]
    for table in tables(runs.records, study):
        entry = DATASETS.get(table.dataset)
        shown = [
            r
            for r in references
            if not table.mode and (r.dataset, r.category) == (table.dataset, table.category)
        ]
        yield f"#### {table.title}"
        if table.category == MEAN:
            yield (
                f"Over {', '.join(table.shared)}: the mean over categories of each seed first, "
                "then mean ± CI over seeds."
            )
            if entry is None or set(table.shared) != set(entry.categories):
                shown = []
        placed = places(table.rows)
        rows = [place.row for place in placed]
        yield from quality_tables(placed, table.partial, shown)
        yield "**Cost**"
        yield from cost_table([*rows, *table.partial])
        if table.category != MEAN:
            yield from empty_cells(rows)
            yield from noted_cells(table.records)
            yield from interval_width(study, table.records)
