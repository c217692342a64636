"""Published values, next to ours where we ran the same configuration: a table and a column."""

from collections.abc import Iterator
from itertools import groupby

from bench.aggregate.language import say
from bench.aggregate.markdown import EMPTY, bold, table
from bench.aggregate.published import Against, against_published
from bench.metrics.catalog import METRICS
from bench.report.board import RankedTable
from bench.report.footnotes import Footnotes


def published_table(ranked: RankedTable, profile: str, notes: Footnotes) -> Iterator[str]:
    """Yield published values on a table's data by model and source, and how much ours differ."""
    compared = _against(ranked, profile)
    names = [name for name in METRICS if any(each.metric == name for each in compared)]
    if not names:
        return
    lines = []
    for reference, group in groupby(compared, key=lambda each: each.reference):
        by_metric = {each.metric: each for each in group}
        cells = [_cell(by_metric.get(name), notes) for name in names]
        unlike = [f"{why}." for why in dict.fromkeys(reference.reasons.values())]
        source = reference.source.partition(" (")[0]
        marks = notes.mark(f"{reference.source}.", *unlike)
        head = f"`{reference.head}`" if ranked.table.study.heads else ""
        lines.append([" ".join(filter(None, (reference.model, head))), source + marks, *cells])
    about = say(
        "As published, under the source's own protocol. In brackets: ours minus published in "
        "points, for runs with their whole budget; for the mean over all categories with the "
        "band within which it counts as the same result (one-pass models ± 1.0 of image and "
        "± 0.5 of pixel AUROC, trained ones ± 1.5 and ± 1.0)."
    )
    yield bold(notes.term(say("Published values"), about))
    headings = [say("Model"), say("Source"), *(say(METRICS[name].heading) for name in names)]
    yield table(headings, lines, words=(0, 1))
    if any(EMPTY in line for line in lines):
        yield say("A cell is empty where the source gives no such value.")


def published_values(ranked: RankedTable, profile: str) -> dict[str, tuple[str, str]]:
    """Return the first published value that each row's rank may be compared with, and its source.

    A value under other conditions, such as another size of images, is only in `published_table`.

    Returns:
        Value of the metric that ranks as text, and source, by name of the row.
    """
    metric = ranked.table.study.ranking_metric
    heads = {each.row.name: each.row.heads[0] for each in ranked.rows}
    published: dict[str, tuple[str, str]] = {}
    for each in _against(ranked, profile):
        reference = each.reference
        name = f"{reference.model} {reference.init}"
        same = each.metric == metric.name and heads.get(name) == reference.head
        if same and each.difference is not None:
            published.setdefault(name, (metric.text(each.published), f"{reference.source}."))
    return published


def _against(ranked: RankedTable, profile: str) -> list[Against]:
    shown = [reference for reference in ranked.references if reference.in_tables]
    return list(against_published([each.row for each in ranked.rows], shown, profile))


def _cell(own: Against | None, notes: Footnotes) -> str:
    if own is None:
        return EMPTY
    metric = METRICS[own.metric]
    text = metric.text(own.published)
    if own.caution:
        return text + notes.mark(say("Not comparable: {why}.", why=own.caution))
    if own.difference is None:
        return text
    signed = f"{metric.scale * own.difference:+.{metric.digits}f}".replace("-", "−")
    if own.band is None:
        return f"{text} ({signed})"
    words = {"within": say("within"), "above": say("above"), "below": say("below")}
    band = f"± {metric.scale * own.band:.1f}"
    return f"{text} ({signed}, {words[own.verdict or 'within']} {band})"
