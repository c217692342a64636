"""The tables of quality: a study's own in its layout, and every column in the details."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.aggregate.conditions import has_procedural_textures
from bench.aggregate.frame import recency_key
from bench.aggregate.language import say
from bench.aggregate.markdown import EMPTY, bold, metric_text, table
from bench.aggregate.ranking import RankedRow
from bench.aggregate.rows import Row, Table
from bench.metrics.catalog import METRICS, Metric
from bench.provenance.commit import short_commit
from bench.report import glossary
from bench.report.board import RankedTable
from bench.report.footnotes import Footnotes
from bench.report.leaderboard_cost import COST_COLUMNS, cost_cell, name_of, seeds_of
from bench.report.leaderboard_published import published_values

_MAX_COLUMNS = 12
"""Maximum number of metrics in one table; beyond it, those that saw test labels get their own."""


def quality_tables(ranked: RankedTable, notes: Footnotes) -> Iterator[str]:
    """Yield a table of every column of the study for each head; the first one ranks."""
    study = ranked.table.study
    rows = [*(each.row for each in ranked.rows), *ranked.table.partial]
    metrics = study.metrics([record for row in rows for record in row.records])
    for position, head in enumerate(_heads(rows)):
        title = f"`{head}`" if study.heads else say("Quality within the center crop")
        if study.heads or position:
            note = say("this head ranks") if position == 0 else say("does not rank")
            yield f"{bold(title)} ({note})"
        chosen = [metric for metric in metrics if metric.sees_test_labels]
        if len(metrics) <= _MAX_COLUMNS:
            chosen = []
        own = [metric for metric in metrics if metric not in chosen]
        yield from _table(ranked, own, (), {}, position, notes)
        if position == 0:
            yield from _ranked_by(ranked)
        if chosen:
            yield from _table(ranked, chosen, (), {}, position, notes)


def study_table(ranked: RankedTable, profile: str, notes: Footnotes) -> Iterator[str]:
    """Yield the study's own table in its layout, one for each of its heads.

    Args:
        ranked: The table.
        profile: Profile of its rows.
        notes: The document's notes, to which new ones are added.
    """
    study = ranked.table.study
    rows = [*(each.row for each in ranked.rows), *ranked.table.partial]
    own = study.layout or [m.name for m in study.metrics([r for row in rows for r in row.records])]
    metrics = [METRICS[name] for name in own if name in METRICS and _any_value(rows, name)]
    measured = [name for name in own if name in COST_COLUMNS]
    measured = [name for name in measured if any(row.measurement(name) for row in rows)]
    published = published_values(ranked, profile) if measured else {}
    for position, head in enumerate(study.heads or ("",)):
        if len(study.heads) > 1:
            note = say("this head ranks") if position == 0 else say("does not rank")
            yield f"{bold(f'`{head}`')} ({note})"
        if position == 0:
            yield from _table(ranked, metrics, measured, published, position, notes)
            yield from _ranked_by(ranked)
        else:
            yield from _table(ranked, metrics, (), {}, position, notes)


def _ranked_by(ranked: RankedTable) -> Iterator[str]:
    """Yield the test behind the ranks of a table; nothing if fewer than two rows rank."""
    if method := ranked.ranking.method:
        yield say("Ranks: {method}.", method=method)


def _heads(rows: Sequence[Row]) -> Sequence[str]:
    """Return the study's heads, or placeholders for each model's first head and its crop's."""
    if rows[0].study.heads:
        return rows[0].study.heads
    return ("", "crop")[: max(len(row.heads) for row in rows)]


def _any_value(rows: Sequence[Row], metric: str) -> bool:
    return any(row.values(f"{head}.{metric}") for row in rows for head in row.heads)


@dataclass(frozen=True)
class _Columns:
    """The columns of a table, and what their cells have in common.

    Attributes:
        position: Which of each row's heads the table shows; the first ranks.
        metrics: Metrics with a column.
        best: The best mean of each metric as text; None where no row stands out.
        shared: The note that all values of each metric share; empty if there is none.
        measured: Measurements with a column.
        published: Published value and its source by name of a row; if empty, there is no column.
        precision: The note on precision that all rows share; empty if there is none.
    """

    position: int
    metrics: Sequence[Metric]
    best: Sequence[str | None]
    shared: Sequence[str]
    measured: Sequence[str]
    published: Mapping[str, tuple[str, str]]
    precision: str


def _table(
    ranked: RankedTable,
    metrics: Sequence[Metric],
    measured: Sequence[str],
    published: Mapping[str, tuple[str, str]],
    position: int,
    notes: Footnotes,
) -> Iterator[str]:
    """Yield the table for one head of each row, then why cells are empty. The first head ranks."""
    ranked_rows = [each for each in ranked.rows if position < len(each.row.heads)]
    if position > 0:
        ranked_rows = sorted(
            ranked_rows, key=lambda each: (not each.ranked, *_descending(each, position))
        )
    partial = [row for row in ranked.table.partial if position < len(row.heads)]
    rows = [*(each.row for each in ranked_rows), *partial]
    precisions = {_precision_note(row) for row in rows}
    columns = _Columns(
        position,
        metrics,
        best=[_best(ranked_rows, position, metric) for metric in metrics],
        shared=[_shared_note(rows, position, metric) for metric in metrics],
        measured=measured,
        published=published,
        precision=precisions.pop() if len(precisions) == 1 else "",
    )
    # Notes are numbered as they come: those of the rows precede those of the headings.
    lines = [_line(each, _cells(each, columns, notes), columns, notes) for each in ranked_rows]
    for row in partial:
        cells = _count_only(row, ranked.table, columns)
        lines.append(_line(RankedRow(row, EMPTY), cells, columns, notes))
    headings = _headings(ranked.table, rows, columns, notes)
    yield table(headings, lines, words=(0, 1) if position == 0 else (0,))
    yield from _about_empty_cells(published, ranked_rows, partial)


def _line(
    ranked_row: RankedRow, cells: Sequence[str], columns: _Columns, notes: Footnotes
) -> list[str]:
    """Return a line of the table: rank, model, the given cells and seeds."""
    row = ranked_row.row
    rank = [_rank(ranked_row, notes)] if columns.position == 0 else []
    model = name_of(row) + _row_marks(row, columns.precision, notes)
    return [*rank, model, *cells, seeds_of(row)]


def _headings(
    of_table: Table, rows: Sequence[Row], columns: _Columns, notes: Footnotes
) -> list[str]:
    """Return the headings, and explain them and the table's other terms in the notes."""
    headings = [notes.term(say("Rank"), glossary.of_rank())] if columns.position == 0 else []
    headings.append(say("Model") + notes.mark(columns.precision))
    if any(columns.best):
        notes.term(say("Bold"), glossary.of_bold())
    if any(name_of(row) != row.label for row in rows):
        notes.term("scratch", glossary.of_scratch())
    ranking = of_table.study.ranking_metric
    for metric, note in zip(columns.metrics, columns.shared, strict=True):
        meaning = glossary.of_metric(metric, ranks=metric is ranking)
        headings.append(notes.term(say(_heading(metric)), meaning) + notes.mark(note))
    headings += [
        notes.term(say(COST_COLUMNS[name][0]), glossary.of_measurement(name))
        for name in columns.measured
    ]
    if columns.published:
        headings.append(say("Published"))
    few = notes.mark(_few_shot_note(of_table))
    headings.append(notes.term(say("Seeds"), glossary.of_seeds()) + few)
    return headings


def _cells(ranked_row: RankedRow, columns: _Columns, notes: Footnotes) -> list[str]:
    """Return the cells of a row's metrics, measurements and published value."""
    row = ranked_row.row
    best = columns.best if ranked_row.ranked else [None] * len(columns.metrics)
    cells = [
        _cell(row, columns.position, metric, (top, note), notes)
        for metric, top, note in zip(columns.metrics, best, columns.shared, strict=True)
    ]
    cells += [cost_cell(row, name, notes) for name in columns.measured]
    if columns.published:
        value, source = columns.published.get(row.name, (EMPTY, ""))
        cells.append(value + notes.mark(source))
    return cells


def _about_empty_cells(
    published: Collection[str], ranked_rows: Sequence[RankedRow], partial: Sequence[Row]
) -> Iterator[str]:
    """Yield a sentence about each kind of cells that are empty without a mark."""
    if published and any(each.row.name not in published for each in ranked_rows):
        yield say("Published is empty where we know of no comparable value.")
    if partial:
        yield say(
            "A row with missing categories shows how many it has instead of a mean; its other "
            "cells are empty."
        )


def _rank(ranked_row: RankedRow, notes: Footnotes) -> str:
    if not ranked_row.reasons:
        return ranked_row.rank
    return EMPTY + notes.mark(say("No rank: {why}.", why="; ".join(ranked_row.reasons)))


def _sentence(text: str) -> str:
    return f"{text}." if text else ""


def _crop_note(row: Row) -> str:
    if len(row.heads) < 2 or row.study.heads:
        return ""
    return say(
        "Sees a center crop: the map is pasted back into the frame, and what the crop cut away "
        "counts as missed."
    )


def _textures_note(row: Row) -> str:
    if not any(map(has_procedural_textures, row.records)):
        return ""
    return say(
        "Trained with procedural textures, because the pictures that its publication uses were "
        "not on disk."
    )


def _row_marks(row: Row, precision: str, notes: Footnotes) -> str:
    """Return the marks of what sets a row apart, given the note on precision that all rows have."""
    own = _precision_note(row)
    return notes.mark(
        _crop_note(row), _textures_note(row), "" if own == precision else own, _code_note(row)
    )


def _precision_note(row: Row) -> str:
    """Return a note on the precision of a row's training; empty if it was float32 alone."""
    names = sorted({str(record.protocol.get("precision", "float32")) for record in row.records})
    if names == ["float32"]:
        return ""
    return say("Trained in {precision}, evaluated in float32.", precision=" / ".join(names))


def _code_note(row: Row) -> str:
    """Return a note on the commits of a row's runs, oldest first; empty if their code is equal."""
    codes: dict[str, str] = {}
    for record in sorted(row.records, key=recency_key):
        if code := record.code.get("hash"):
            commit = short_commit(record.code.get("commit"))
            changed = say("{commit} with uncommitted changes", commit=commit)
            codes.setdefault(code, changed if record.code.get("dirty") else commit)
    if len(codes) < 2:
        return ""
    commits = ", ".join(dict.fromkeys(codes.values()))
    return say("Its runs were made with different code (commits: {commits}).", commits=commits)


def _few_shot_note(table: Table) -> str:
    if not table.shots:
        return ""
    return say("Each seed trains on images of its own, the same ones for every model.")


def _count_only(row: Row, of_table: Table, columns: _Columns) -> list[str]:
    """Return the cells of a mean that lacks categories: their count instead of a mean."""
    ranking = row.study.ranking_metric.name
    names = [metric.name for metric in columns.metrics]
    at = names.index(ranking) if ranking in names else 0
    count = say("{own} of {all}", own=len(row.categories), all=len(of_table.shared))
    counts = [count if position == at else EMPTY for position in range(len(names))]
    return [*counts, *[EMPTY] * (len(columns.measured) + bool(columns.published))]


def _cell(
    row: Row,
    position: int,
    metric: Metric,
    of_column: tuple[str | None, str],
    notes: Footnotes,
) -> str:
    best, shared = of_column
    head = row.heads[position]
    value = row.metric(head, metric.name)
    text = metric_text(value, metric, row.seeds)
    if value is None:
        return text + notes.mark(why_empty(row, head, metric))
    if metric.text(value.mean) == best:
        text = bold(text)
    own = [note for note in _notes(row, head, metric) if note != shared]
    return text + notes.mark(*own) if own else text


def _notes(row: Row, head: str, metric: Metric) -> list[str]:
    """Return what is unusual about a value of one category."""
    if len(row.categories) > 1 or not row.has_notes:
        return []
    notes = {record.notes.get(f"{head}.{metric.name}", "") for record in row.records}
    return [_sentence(note[:1].upper() + note[1:]) for note in sorted(filter(None, notes))]


def _shared_note(rows: Sequence[Row], position: int, metric: Metric) -> str:
    """Return a note shared by every value of a column, to be placed at the heading."""
    if not any(row.has_notes for row in rows):
        return ""
    values = [row for row in rows if row.metric(row.heads[position], metric.name)]
    notes = {tuple(_notes(row, row.heads[position], metric)) for row in values}
    only = notes.pop() if len(notes) == 1 else ()
    return only[0] if len(only) == 1 else ""


def why_empty(row: Row, head: str, metric: Metric) -> str:
    """Return why a row has no value of a metric, as a note."""
    reasons = {record.reasons.get(f"{head}.{metric.name}", "") for record in row.records}
    if given := sorted(filter(None, reasons)):
        return say("Empty: {why}.", why="; ".join(given))
    return say("Empty: not recorded.")


def _best(ranked_rows: Sequence[RankedRow], position: int, metric: Metric) -> str | None:
    """Return a column's best mean as shown, if only one ranked row has it.

    None if another row shows the same, if there is only one value, or if the metric saw test
    labels.
    """
    values = [p.row.metric(p.row.heads[position], metric.name) for p in ranked_rows if p.ranked]
    means = [value.mean for value in values if value is not None]
    best = metric.best(means)
    if best is None or len(means) < 2 or metric.sees_test_labels:
        return None
    text = metric.text(best)
    return text if sum(metric.text(mean) == text for mean in means) == 1 else None


def _descending(ranked_row: RankedRow, position: int) -> tuple[float, str]:
    row = ranked_row.row
    metric = row.study.ranking_metric
    value = row.metric(row.heads[position], metric.name)
    return -metric.sort_key(value.mean if value else None), row.name


def _heading(metric: Metric) -> str:
    return metric.heading if metric.unit in {"", "%"} else f"{metric.heading} ({metric.unit})"
