"""The charts of a study's rows on one dataset, and the history of cases."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from xml.etree.ElementTree import Element

from bench.aggregate.ranking import RankedRow
from bench.aggregate.rows import Row
from bench.aggregate.significance import average_ranks, critical_difference, friedman_p
from bench.aggregate.statistics import SIGNIFICANCE
from bench.metrics.catalog import Metric, metric_named
from bench.page.cards import moves, ranking_value
from bench.page.charts.curves import history_chart
from bench.page.charts.heat_map import MAX_COLUMNS, MAX_ROWS, heat_map
from bench.page.charts.quality import MAX_DOTS, Key, axis_title, quality_chart, speed_chart
from bench.page.charts.ranks import rank_diagram
from bench.page.markup import element
from bench.page.source import Question, Source
from bench.page.words import t
from bench.printable import printable
from bench.studies import ranking_of

_LINES = 8
"""Maximum number of cases in a chart of history."""


def charts(question: Question, keys: Mapping[int, str]) -> Element | None:
    """Return the charts that a question's rows allow; None if there are none."""
    rows = question.main.rows

    def key(ranked_row: RankedRow) -> str:
        return keys[id(ranked_row)]

    hint = ""
    if len(rows) > MAX_DOTS:
        hint = t("{shown} of {count} rows", shown=MAX_DOTS, count=len(rows))
    figures = [
        _figure(t("Quality with its 95 % interval"), hint, quality_chart(rows, key)),
        _figure(t("Quality against speed"), "", speed_chart(rows, key)),
        *_over_categories(question, key),
    ]
    if not any(figure is not None for figure in figures):
        return None
    return element(
        "section",
        element("h3", printable(question.main.title)),
        element("p", printable(question.main.environment), class_="faint"),
        *_methods(question),
        element("div", *figures, class_="charts"),
        class_="question",
    )


def legend() -> Element:
    """Return what marks and lines mean in the charts of every question."""
    text = t(
        "Filled marks are pretrained, hollow ones start from random weights, gray ones have no "
        "rank. The line is the Pareto front of the ranked rows in quality and speed."
    )
    return element("p", text, class_="faint")


def _methods(question: Question) -> Iterator[Element]:
    """Yield how the ranks of a question were found, as in the leaderboard's footnotes."""
    if method := question.main.ranked.ranking.method:
        yield element("p", f"{t('Ranks')}: {method}.", class_="faint")
    methods = dict.fromkeys(each.ranked.ranking.method for each in question.categories)
    for method in filter(None, methods):
        yield element("p", f"{t('Ranks within a category')}: {method}.", class_="faint")


def history(source: Source) -> Element | None:
    """Return the section of the cases that ran more than once; None if there are none."""
    moved = {id(move.new): abs(move.change) for move in moves(source)}
    by_metric = defaultdict(list)
    for series in source.repeated:
        if id(series[-1]) in moved:
            by_metric[ranking_of(series[-1])[1].name].append(series)
    figures = []
    for name, own in sorted(by_metric.items()):
        metric = metric_named(name)
        chosen = sorted(own, key=lambda s: (-moved[id(s[-1])], s[-1].key.id))[:_LINES]
        lines = []
        for series in chosen:
            values = [(r, v) for r in series if (v := ranking_value(r)) is not None]
            lines.append(([r for r, _ in values], [v for _, v in values]))
        figures.append(_figure(metric.heading, "", history_chart(lines, metric)))
    if not figures:
        return None
    about = t("Every finished run of the cases that ran more than once and changed most.")
    return element(
        "section",
        element("h2", t("History"), id="history"),
        element("p", about, class_="faint"),
        element("div", *figures, class_="charts"),
    )


def _over_categories(question: Question, key: Key) -> Iterator[Element | None]:
    """Yield the charts that need several categories."""
    if not question.categories:
        return
    metric = question.main.table.study.ranking_metric
    every = (*question.main.rows, *question.main.partial)
    rows = [(key(each), each.row.name, _by_category(each.row)) for each in every]
    categories = [group.table.category for group in question.categories]
    shown = min(MAX_ROWS, len(rows))
    hints = [axis_title(metric), t("{shown} of {count} rows", shown=shown, count=len(rows))]
    if len(categories) > MAX_COLUMNS:
        count = len(categories)
        hints.append(t("{shown} of {count} categories", shown=MAX_COLUMNS, count=count))
    yield _figure(t("Quality by category"), "; ".join(hints), heat_map(rows, categories, metric))
    yield _mean_ranks([each.row for each in question.main.rows if each.ranked], metric)


def _by_category(row: Row) -> dict[str, float]:
    pairs = zip(row.categories, row.by_category, strict=True)
    return {category: value for category, value in pairs if not math.isnan(value)}


def _mean_ranks(rows: Sequence[Row], metric: Metric) -> Element | None:
    """Return the critical-difference diagram of rows over the same categories; None below three."""
    if len(rows) < 3:
        return None
    import numpy as np

    sign = 1 if metric.higher_is_better else -1
    values = sign * np.array([row.by_category for row in rows])
    names = [row.name for row in rows]
    ranks = dict(zip(names, map(float, average_ranks(values)), strict=True))
    cd, p = critical_difference(*values.shape), friedman_p(values)
    if p < SIGNIFICANCE:
        joined = [[b for b in names if 0 <= ranks[b] - ranks[a] < cd] for a in names]
        hint_template = t(
            "bars join models that are not shown to differ (critical difference {cd})"
        )
    else:
        joined = [names]
        hint_template = t("Friedman test: no difference shown (p = {p})")
    hint = hint_template.format(cd=f"{cd:.2f}", p=f"{p:.2g}")
    return _figure(t("Mean rank over categories"), hint, rank_diagram(ranks, joined, cd))


def _figure(title: str, hint: str, chart: Element | None) -> Element | None:
    if chart is None:
        return None
    caption = element("figcaption", element("b", title), f" ({hint})" if hint else "")
    return element("figure", caption, chart)
