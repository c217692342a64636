"""The leaderboard: every table of the project as Markdown and CSV, pure functions of records."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from bench.record import Record
from bench.report.leaderboard_csv import leaderboard_csv
from bench.report.leaderboard_notes import (
    empty_cells,
    few_test_images,
    how_to_read,
    noted_cells,
    provenance,
    unfinished,
)
from bench.report.leaderboard_tables import cost_table, quality_table, verdict_table
from bench.aggregate.markdown import bold, percent, quantity, seeds
from bench.report.references import MEAN, beside, published_categories
from bench.aggregate.rows import (
    ComparableRuns,
    Row,
    by_data,
    by_study,
    category_rows,
    comparable_runs,
    mean_rows,
    ranks,
)
from bench.studies import STUDIES, table_spec_of
from bench.studies.mixing.report import mixing_report
from bench.studies.rd_backbone.verdict import verdicts
from bench.table_spec import ANOMALY, CLASSIFICATION, TableSpec

__all__ = ["leaderboard_csv", "leaderboard_markdown", "summary_rows", "write_leaderboard"]


def write_leaderboard(records: Sequence[Record], folder: Path) -> tuple[Path, Path]:
    """Write ``LEADERBOARD.md`` and ``LEADERBOARD.csv``, replacing older ones.

    Raises:
        OSError: A file could not be written; an older one is whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {".md": leaderboard_markdown(records), ".csv": leaderboard_csv(records)}
    for suffix, text in texts.items():
        half = folder / f"LEADERBOARD{suffix}.half"
        half.write_text(text, encoding="utf-8", newline="\n")
        half.replace(folder / f"LEADERBOARD{suffix}")
    return folder / "LEADERBOARD.md", folder / "LEADERBOARD.csv"


def leaderboard_markdown(records: Iterable[Record]) -> str:
    """Every table, for people. The same records in any order give the same text."""
    records = list(records)
    parts = ["# Leaderboard", how_to_read(records)]
    found = comparable_runs(records)
    if not found:
        parts.append("No finished runs yet.")
    for runs in found:
        parts.append(f"## Profile `{runs.profile}` on {runs.environment}")
        parts.append(provenance(runs))
        for study, of_study in by_study(runs.records).items():
            parts.extend(_study(study, runs, of_study))
    parts.extend(unfinished(records))
    return "\n\n".join(parts) + "\n"


def summary_rows(records: Iterable[Record], top: int = 3) -> list[str]:
    """The best configurations of each category, one aligned line each, for a terminal.

    A section's name precedes its lines where records of several profiles or machines are given.
    """
    found = comparable_runs(records)
    lines: list[str] = []
    for runs in found:
        if len(found) > 1:
            lines.append(f"profile {runs.profile} on {runs.environment}")
        cells = [
            cell
            for of_study in by_study(runs.records).values()
            for place, of_category in by_data(of_study).items()
            for cell in _summary_cells(".".join(filter(None, place)), of_category, top)
        ]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines.extend("  ".join(map(str.ljust, cell, widths)).rstrip() for cell in cells)
    return lines


def _summary_cells(place: str, records: list[Record], top: int) -> Iterator[tuple[str, ...]]:
    rows = category_rows(records, table_spec_of(records[0]))
    shown = list(zip(ranks(rows), rows, strict=True))[:top]
    for position, (rank, row) in enumerate(shown, start=1):
        figure = f"{row.table_spec.ranking_short} {percent(row.ranking, 2)}"
        speed = quantity(row.measurement("inference_images_per_s"))
        notes = [seeds(len(row.seeds))]
        if rank.endswith("="):
            notes.append("tied")
        if position == len(shown) < len(rows):
            notes.append(f"{len(rows) - top} more in the leaderboard")
        yield place, rank, row.name, figure, f"{speed} images/s", ", ".join(notes)


def _study(study: str, runs: ComparableRuns, records: list[Record]) -> Iterator[str]:
    about = f": {STUDIES[study].about}" if study in STUDIES else ""
    shown = STUDIES[study].table_spec
    yield f"### Study `{study}`{about}"
    if study == "rd_backbone":
        yield from verdict_table(
            [verdict for head in ANOMALY.heads for verdict in verdicts(runs, head)]
        )
    if shown is CLASSIFICATION:
        yield from mixing_report(study, records)
    for dataset, group in groupby(by_data(records).items(), key=lambda item: item[0][0]):
        cells = dict(group)
        if len(cells) > 1:
            everything = [record for cell in cells.values() for record in cell]
            yield from _mean(study, dataset, everything, shown)
        for (_, category), of_category in cells.items():
            yield f"#### {'.'.join(filter(None, (dataset, category)))}"
            rows = category_rows(of_category, shown)
            yield from _tables(study, rows, (), dataset, category)
            yield from empty_cells(of_category)
            yield from noted_cells(of_category)
            yield from few_test_images(of_category)


def _mean(study: str, dataset: str, records: list[Record], shown: TableSpec) -> Iterator[str]:
    ranked, partial, shared = mean_rows(records, shown)
    yield f"#### {dataset}: mean over {len(shared)} categories"
    yield f"Over {', '.join(shared)}: each seed's mean over them first, then mean ± CI over seeds."
    same = set(shared) == published_categories(dataset)
    yield from _tables(study, ranked, partial, dataset, MEAN if same else None)


def _tables(
    study: str, rows: Sequence[Row], partial: Sequence[Row], dataset: str, category: str | None
) -> Iterator[str]:
    heads = rows[0].table_spec.heads
    published = beside(study, dataset, category, {row.model for row in rows})
    for head in heads:
        title = bold(f"Quality, `{head}`")
        yield f"{title} {'(this head ranks)' if head == heads[0] else '(does not rank)'}"
        of_head = [found for found in published if found.head == head]
        yield from quality_table(rows, partial, head, of_head)
    yield "**Cost**"
    yield cost_table([*rows, *partial])
