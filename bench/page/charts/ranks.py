"""The critical-difference diagram of Demšar (JMLR 7, 2006): mean ranks, and what joins them."""

from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element

from bench.page.charts.svg import WIDTH, Scale, chart, line, path, text
from bench.page.markup import element, elided
from bench.page.words import t

_LEFT, _RIGHT, _AXIS, _LINE = 240, WIDTH - 240, 60, 20


def rank_diagram(
    ranks: Mapping[str, float], joined: Sequence[Sequence[str]], cd: float | None
) -> Element:
    """Return models on an axis of mean ranks, the best on the left.

    Args:
        ranks: Mean rank of each model over categories, 1 the best.
        joined: Sets of models that are not shown to differ; a bar joins each of two or more.
        cd: Critical difference, drawn as a bar above the axis; None if the test has none.
    """
    order = sorted(ranks, key=lambda name: (ranks[name], name))
    x = Scale(1, max(2, len(order)), _LEFT, _RIGHT)
    bars = _bars(ranks, joined)
    half = -(-len(order) // 2)
    first = _AXIS + 24 + 9 * len(bars)
    parts = [line(x.start, _AXIS, x.end, _AXIS, "axis-line")]
    for tick in range(1, max(2, len(order)) + 1):
        if len(order) <= 20 or tick % 5 in (0, 1):
            parts += [line(x(tick), _AXIS - 5, x(tick), _AXIS, "axis-line")]
            parts += [text(x(tick), _AXIS - 10, str(tick), "tick", "middle")]
    if cd is not None and cd < x.high - x.low:
        parts += [
            line(x.start, 22, x(1 + cd), 22, "front"),
            text(x.start, 15, f"CD {cd:.2f}", "tick"),
        ]
    for position, name in enumerate(order):
        left = position < half
        row = position if left else len(order) - 1 - position
        y = first + _LINE * row
        end = _LEFT - 12 if left else _RIGHT + 12
        parts.append(path([(x(ranks[name]), _AXIS), (x(ranks[name]), y), (end, y)], "leader"))
        label = f"{elided(name, 22)} {ranks[name]:.2f}"
        parts.append(text(end + (-4 if left else 4), y + 5, label, "name", "end" if left else ""))
    for position, (low, high) in enumerate(bars):
        y = _AXIS + 10 + 9 * position
        parts.append(line(x(low) - 3, y, x(high) + 3, y, "clique"))
    height = first + _LINE * half
    return chart(height, t("Mean rank over categories"), element("g", *parts))


def _bars(ranks: Mapping[str, float], joined: Sequence[Sequence[str]]) -> list[tuple[float, float]]:
    """Return the ends of the bars; one that lies within another is left out."""
    ends = [
        (min(ranks[name] for name in names), max(ranks[name] for name in names))
        for names in joined
        if len(names) > 1
    ]
    return sorted(
        {
            (low, high)
            for low, high in ends
            if not any((a <= low and high <= b) and (a, b) != (low, high) for a, b in ends)
        }
    )
