"""The tables of quality: a study's own in its layout, and every column in the details."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from bench.aggregate.conditions import has_procedural_textures
from bench.aggregate.frame import recency_key
from bench.aggregate.language import say
from bench.aggregate.markdown import EMPTY, bold, metric_text, table
from bench.aggregate.ranking import Place
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
    rows = [*(place.row for place in ranked.places), *ranked.table.partial]
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
    rows = [*(place.row for place in ranked.places), *ranked.table.partial]
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


def _table(
    ranked: RankedTable,
    metrics: Sequence[Metric],
    measured: Sequence[str],
    published: Mapping[str, tuple[str, str]],
    position: int,
    notes: Footnotes,
) -> Iterator[str]:
    """Yield a table of the heads at a position and why its cells are empty; the first ranks."""
    placed = [place for place in ranked.places if position < len(place.row.heads)]
    if position > 0:
        placed = sorted(placed, key=lambda place: (not place.ranked, *_descending(place, position)))
    partial = [row for row in ranked.table.partial if position < len(row.heads)]
    rows = [*(place.row for place in placed), *partial]
    shared = [_shared_note(rows, position, metric) for metric in metrics]
    precisions = [_precision_note(row) for row in rows]
    every = precisions[0] if len(set(precisions)) == 1 else ""
    best = [_best(placed, position, metric) for metric in metrics]
    lines = []
    for place in [*placed, *(Place(row, EMPTY) for row in partial)]:
        row = place.row
        if row in partial:
            others = len(measured) + bool(published)
            cells = [*_count_only(ranked, row, metrics), *[EMPTY] * others]
        else:
            top = best if place.ranked else [None] * len(metrics)
            columns = list(zip(metrics, top, shared, strict=True))
            cells = _values(row, position, columns, measured, notes)
            cells += _published_cell(row, published, notes)
        rank = [_rank(place, notes)] if position == 0 else []
        lines.append([*rank, name_of(row) + _row_marks(row, every, notes), *cells, seeds_of(row)])
    headings = [notes.term(say("Rank"), glossary.of_rank())] if position == 0 else []
    headings.append(say("Model") + notes.mark(every))
    if any(best):
        notes.term(say("Bold"), glossary.of_bold())
    if any(name_of(row) != row.label for row in rows):
        notes.term("scratch", glossary.of_scratch())
    ranking = ranked.table.study.ranking_metric
    for metric, note in zip(metrics, shared, strict=True):
        meaning = glossary.of_metric(metric, ranks=metric is ranking)
        headings.append(notes.term(say(_heading(metric)), meaning) + notes.mark(note))
    headings += [notes.term(say(COST_COLUMNS[n][0]), glossary.of_measurement(n)) for n in measured]
    headings += [say("Published")] if published else []
    few = notes.mark(_few_shot_note(ranked.table))
    headings.append(notes.term(say("Seeds"), glossary.of_seeds()) + few)
    yield table(headings, lines, words=(0, 1) if position == 0 else (0,))
    yield from _about_empty_cells(published, placed, partial)


def _values(
    row: Row,
    position: int,
    columns: Sequence[tuple[Metric, str | None, str]],
    measured: Sequence[str],
    notes: Footnotes,
) -> list[str]:
    """Return the cells of a row's metrics, given with best text and shared note, and costs."""
    cells = [
        _cell(row, position, metric, (best, shared), notes) for metric, best, shared in columns
    ]
    return cells + [cost_cell(row, name, notes) for name in measured]


def _published_cell(
    row: Row, published: Mapping[str, tuple[str, str]], notes: Footnotes
) -> list[str]:
    """Return the cell of a row's published value; none if the table has no such column."""
    if not published:
        return []
    value, source = published.get(row.name, (EMPTY, ""))
    return [value + notes.mark(source)]


def _about_empty_cells(
    published: Collection[str], placed: Sequence[Place], partial: Sequence[Row]
) -> Iterator[str]:
    """Yield a sentence about each kind of cells that are empty without a mark."""
    if published and any(place.row.name not in published for place in placed):
        yield say("Published is empty where we know of no comparable value.")
    if partial:
        yield say(
            "A row with missing categories shows how many it has instead of a mean; its other "
            "cells are empty."
        )


def _rank(place: Place, notes: Footnotes) -> str:
    if not place.reasons:
        return place.rank
    return EMPTY + notes.mark(say("No rank: {why}.", why="; ".join(place.reasons)))


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
    """Return in which precision a row was trained if it was not float32 alone."""
    found = sorted({str(record.protocol.get("precision", "float32")) for record in row.records})
    if found == ["float32"]:
        return ""
    return say("Trained in {precision}, evaluated in float32.", precision=" / ".join(found))


def _code_note(row: Row) -> str:
    """Return with which code a row's runs were made if it was not the same, oldest first."""
    codes: dict[str, str] = {}
    for record in sorted(row.records, key=recency_key):
        if found := record.code.get("hash"):
            commit = short_commit(record.code.get("commit"))
            changed = say("{commit} with uncommitted changes", commit=commit)
            codes.setdefault(found, changed if record.code.get("dirty") else commit)
    if len(codes) < 2:
        return ""
    commits = ", ".join(dict.fromkeys(codes.values()))
    return say("Its runs were made with different code (commits: {commits}).", commits=commits)


def _few_shot_note(table: Table) -> str:
    if not table.shots:
        return ""
    return say("Each seed trains on images of its own, the same ones for every model.")


def _count_only(ranked: RankedTable, row: Row, metrics: Sequence[Metric]) -> list[str]:
    """Return the cells of a mean that lacks categories: their count instead of a mean."""
    ranking = row.study.ranking_metric.name
    names = [metric.name for metric in metrics]
    at = names.index(ranking) if ranking in names else 0
    count = say("{own} of {all}", own=len(row.categories), all=len(ranked.table.shared))
    return [count if position == at else EMPTY for position in range(len(metrics))]


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
    found = {record.notes.get(f"{head}.{metric.name}", "") for record in row.records}
    return [_sentence(note[:1].upper() + note[1:]) for note in sorted(filter(None, found))]


def _shared_note(rows: Sequence[Row], position: int, metric: Metric) -> str:
    """Return a note shared by every value of a column, to be placed at the heading."""
    if not any(row.has_notes for row in rows):
        return ""
    values = [row for row in rows if row.metric(row.heads[position], metric.name)]
    found = [tuple(_notes(row, row.heads[position], metric)) for row in values]
    return found[0][0] if found and len(set(found)) == 1 and len(found[0]) == 1 else ""


def why_empty(row: Row, head: str, metric: Metric) -> str:
    """Return why a row has no value of a metric, as a note."""
    reasons = {record.reasons.get(f"{head}.{metric.name}", "") for record in row.records}
    if given := sorted(filter(None, reasons)):
        return say("Empty: {why}.", why="; ".join(given))
    return say("Empty: not recorded.")


def _best(placed: Sequence[Place], position: int, metric: Metric) -> str | None:
    """Return a column's best mean as shown, if only one ranked row has it.

    None if another row shows the same, if there is only one value, or if the metric saw test
    labels.
    """
    values = [p.row.metric(p.row.heads[position], metric.name) for p in placed if p.ranked]
    means = [value.mean for value in values if value is not None]
    best = metric.best(means)
    if best is None or len(means) < 2 or metric.sees_test_labels:
        return None
    text = metric.text(best)
    return text if sum(metric.text(mean) == text for mean in means) == 1 else None


def _descending(place: Place, position: int) -> tuple[float, str]:
    row = place.row
    metric = row.study.ranking_metric
    value = row.metric(row.heads[position], metric.name)
    return -metric.sort_key(value.mean if value else None), row.name


def _heading(metric: Metric) -> str:
    return metric.heading if metric.unit in {"", "%"} else f"{metric.heading} ({metric.unit})"
