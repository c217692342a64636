"""The leaderboard's values at full precision, for programs: one line per row of each table."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bench.aggregate.markdown import EMPTY
from bench.aggregate.ranking import RankedRow
from bench.aggregate.reference import MEAN
from bench.aggregate.rows import Table
from bench.metrics.catalog import METRICS
from bench.report.board import Board, RankedTable
from bench.report.leaderboard_cost import COST_COLUMNS
from bench.studies import STUDIES, by_study
from datasets_lib.catalog import DATASETS

MEASUREMENTS = tuple(COST_COLUMNS)

_AXES = (
    *("kind", "profile", "environment", "study", "dataset", "category", "mode", "categories"),
    *("head", "rank", "p_best", "no_rank", "budget_share", "model", "init", "replicates"),
    *("source", "caution"),
)

_PUBLISHED = ("dataset", "category", "head", "model", "init", "source")


def board_csv(board: Board) -> str:
    """Return every row of every quality and cost table; shares are fractions of 1.

    ``NAME_low`` and ``NAME_high`` are the ends of the 95 % interval over replicates. ``kind`` is
    ``run``, ``partial`` (a mean that lacks categories) or ``reference`` (published; its ``source``
    says by whom, its ``caution`` which of its values are not comparable). ``mode`` is present if
    some run is few-shot or a model for all categories. ``rank`` is a range, ``p_best`` the
    corrected p value of no difference from the best, to six digits. ``no_rank`` says why a run has
    no rank.
    Metrics have a column if some record has a value.
    """
    lines, names = _all_lines(board)
    filled = {name for line in lines for name in line}
    shown = [name for name in names if name in MEASUREMENTS or name in filled]
    axes = [axis for axis in _AXES if axis != "mode" or any(line.get("mode") for line in lines)]
    text = io.StringIO()
    columns = [*axes, *(column for name in shown for column in _columns(name))]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([line.get(column) for column in columns] for line in lines)
    return text.getvalue()


def board_json(board: Board) -> str:
    """Return the rows of `board_csv` as JSON, without empty values."""
    lines, _ = _all_lines(board)
    rows = [{k: v for k, v in line.items() if v not in ("", None)} for line in lines]
    methods = {
        f"{own.study.name}, {own.runs.profile}, {own.runs.environment}, {each.table.data_title}": (
            each.ranking.method
        )
        for own in board.studies
        for each in own.tables
        if each.ranking.method
    }
    content = {"rows": rows, "ranked_by": methods}
    return json.dumps(content, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def _all_lines(board: Board) -> tuple[list[dict[str, Any]], list[str]]:
    """Return a line per row and head of each table and per published value, and the value names."""
    finished = [record for runs in board.sections for record in runs.records]
    measured = {name for record in finished for name in record.measurements}
    metrics = {name for record in finished for head in record.metrics.values() for name in head}
    names = [*METRICS, *sorted(metrics - METRICS.keys()), *MEASUREMENTS]
    of_categories = [
        by for r in finished for of_head in r.categories.values() for by in of_head.values()
    ]
    recorded = metrics | measured | {name for values in of_categories for name in values}
    lines = [
        {
            "profile": own.runs.profile,
            "environment": own.runs.environment,
            "study": own.study.name,
            **line,
        }
        for own in board.studies
        # The mean over a dataset's categories follows them here.
        for ranked in sorted(own.tables, key=_table_order)
        for line in _lines(ranked, [name for name in names if name in recorded])
    ]
    shown = {(line["dataset"], line["category"]) for line in lines if not line["mode"]}
    for name, of_study in by_study(finished).items():
        variants = {record.case.variant for record in of_study}
        for reference in STUDIES[name].call(STUDIES[name].references, variants):
            own = {reference.category}
            if reference.category == MEAN:
                own = set(DATASETS[reference.dataset].categories)
            if shown >= {(reference.dataset, category) for category in own}:
                line = {"kind": "reference", "study": name, "categories": len(own)}
                line |= {axis: getattr(reference, axis) for axis in _PUBLISHED}
                cautions = [f"{metric}: {why}" for metric, why in reference.cautions.items()]
                lines.append(line | {"caution": "; ".join(cautions)} | dict(reference.metrics))
    return lines, names


def _table_order(ranked: RankedTable) -> tuple[str, bool, int, bool, bool]:
    table = ranked.table
    return table.dataset, table.multi_class, table.shots, table.supervised, table.category == MEAN


def _columns(name: str) -> tuple[str, str, str]:
    return name, f"{name}_low", f"{name}_high"


def _lines(of_table: RankedTable, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    table, ranked = of_table.table, of_table.rows
    partial = [RankedRow(row, "", ("fewer categories",)) for row in table.partial]
    for kind, own in (("run", ranked), ("partial", partial)):
        for position in range(max((len(ranked_row.row.heads) for ranked_row in own), default=0)):
            for ranked_row in own:
                if position < len(ranked_row.row.heads):
                    yield {"kind": kind, **_line(table, ranked_row, position, names)}


def _line(
    table: Table, ranked_row: RankedRow, position: int, names: Iterable[str]
) -> dict[str, Any]:
    row = ranked_row.row
    head = row.heads[position]
    line: dict[str, Any] = {
        "dataset": table.dataset,
        "category": table.category,
        "mode": table.mode,
        "categories": len(row.categories),
        "head": head,
        "rank": ranked_row.rank.strip(EMPTY) if position == 0 else "",
        "p_best": _six_digits(ranked_row.p) if position == 0 else None,
        "no_rank": "; ".join(ranked_row.reasons) if position == 0 else "",
        "budget_share": row.budget_share,
        "model": row.label,
        "init": row.case.init,
        "replicates": " ".join(map(str, row.replicates)),
    }
    for name in names:
        value = row.measurement(name) if name in MEASUREMENTS else row.metric(head, name)
        if value:
            line[name] = value.mean
            if value.half_width is not None:
                line |= {f"{name}_low": value.low, f"{name}_high": value.high}
    return line


def _six_digits(p: float | None) -> float | None:
    """Return a p value to six digits: its last ones differ between CPUs."""
    return None if p is None else float(f"{p:.6g}")
