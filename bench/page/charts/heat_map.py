"""Quality by category as a map of colors with its numbers."""

from collections.abc import Callable, Mapping, Sequence
from xml.etree.ElementTree import Element

from bench.metrics.catalog import Metric
from bench.page.charts.svg import WIDTH, chart, text, titled
from bench.page.markup import element, elided
from bench.page.words import t

MAX_ROWS, MAX_COLUMNS = 40, 40
_STEPS = 8
_LEFT, _RIGHT, _ROW = 244, 44, 22
_LETTER = 8
"""Width of a digit in a cell, rounded up."""


def heat_map(
    rows: Sequence[tuple[str, str, Mapping[str, float]]],
    categories: Sequence[str],
    metric: Metric,
) -> Element | None:
    """Return a cell for each row and category; None if there are none.

    Args:
        rows: Mark, name and values by category, the best first; values as the metric stores them.
        categories: Columns, in order.
        metric: Metric of the values.
    """
    rows, columns = list(rows)[:MAX_ROWS], list(categories)[:MAX_COLUMNS]
    values = [own[c] for *_, own in rows for c in columns if c in own]
    if not values or len(columns) < 2:
        return None
    low, high = min(values), max(values)
    wide = (WIDTH - _LEFT - _RIGHT) / len(columns)
    cell_text = _cell_text(values, metric, wide)
    top = 110
    children: list[Element] = [
        _head(name, _LEFT + wide * (i + 0.5), top) for i, name in enumerate(columns)
    ]
    for position, (key, name, own) in enumerate(rows):
        y = top + _ROW * position
        cells = [text(_LEFT - 8, y + 16, elided(name), "name", "end")]
        for column, category in enumerate(columns):
            if category in own:
                step = _step(own[category], low, high)
                x = _LEFT + wide * column
                cell = element("g", *_cell(x, y, wide, step, cell_text(own[category])))
                hint = f"{category} {metric.text(own[category])}"
                cells.append(titled(cell, elided(name, 120), hint))
        mark = element("g", *cells, class_="mark", data_r=key)
        children.append(titled(mark, elided(name, 120)))
    return chart(top + _ROW * len(rows) + 8, t("Quality by category"), *children)


def _cell_text(values: Sequence[float], metric: Metric, wide: float) -> Callable[[float], str]:
    """Return the function that writes the values of cells; nothing where the longest does not fit.

    A percentage may lose the digits behind its point, which another unit may need.
    """
    formats: list[Callable[[float], str]] = [metric.text]
    if metric.unit == "%":
        formats.append(lambda value: f"{metric.scale * value:.0f}")
    for written in formats:
        if _LETTER * max(len(written(value)) for value in values) <= wide:
            return written
    return lambda _: ""


def _head(name: str, x: float, y: float) -> Element:
    head = text(x, y - 6, elided(name, 16), "tick")
    head.set("transform", f"rotate(-40 {x:g} {y - 6:g})")
    return head


def _cell(x: float, y: float, wide: float, step: int, words: str) -> list[Element]:
    rect = element(
        "rect",
        x=f"{x:.1f}",
        y=f"{y:g}",
        width=f"{wide - 1:.1f}",
        height=_ROW - 1,
        class_=f"h{step}",
    )
    if not words:
        return [rect]
    return [rect, text(x + wide / 2, y + 16, words, f"t{step}", "middle")]


def _step(value: float, low: float, high: float) -> int:
    """Return the color of a value, 0 to 7."""
    if high == low:
        return _STEPS - 1
    return min(_STEPS - 1, int(_STEPS * (value - low) / (high - low)))
