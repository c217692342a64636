"""Lines over time: the loss of a run, the test metric of its epochs, the history of cases."""

from collections.abc import Sequence
from datetime import UTC, datetime
from xml.etree.ElementTree import Element

from bench.metrics.catalog import Metric
from bench.page.charts.svg import (
    WIDTH,
    Scale,
    axis_x,
    axis_y,
    chart,
    line,
    padded,
    path,
    spread,
    text,
    titled,
)
from bench.page.markup import element, elided
from bench.page.words import t
from bench.record import Record

_MAX_POINTS = 300
_TOP, _BOTTOM = 36, 250


def curve_chart(points: Sequence[Sequence[float]], title: str) -> Element | None:
    """Return a line over images seen; None without two points.

    Args:
        points: Images seen and value, in order; thinned to at most 300.
        title: What the values are.
    """
    known = [(x, y) for x, y in points if x is not None and y is not None]
    if len(known) < 2:
        return None
    every = -(-len(known) // _MAX_POINTS)
    thinned = [*known[:-1:every], known[-1]]
    low, high = padded([y for _, y in thinned])
    x = Scale(thinned[0][0], thinned[-1][0], 80, WIDTH - 20)
    if x.low == x.high:
        return None
    y = Scale(low, high, _BOTTOM, _TOP)
    return chart(
        _BOTTOM + 48,
        title,
        *axis_y(y, x.start, x.end, title),
        *axis_x(x, _TOP, _BOTTOM, t("images seen")),
        path([(x(a), y(b)) for a, b in thinned], "front"),
    )


def history_chart(
    series: Sequence[tuple[Sequence[Record], Sequence[float]]], metric: Metric
) -> Element | None:
    """Return the value of every run of some cases by the time it ended; None if there are none.

    Args:
        series: Records of one case, oldest first, with their values as the metric stores them.
        metric: Metric of the values.
    """
    lines = [
        (
            records[0].key.id,
            [(_time(r), metric.scale * v) for r, v in zip(records, values, strict=True)],
        )
        for records, values in series
    ]
    times = [time for _, points in lines for time, _ in points]
    if not times:
        return None
    start, end = min(times), max(times)
    x = Scale(start, end if end > start else start + 1, 80, WIDTH - 230)
    y = Scale(*padded([value for _, points in lines for _, value in points]), _BOTTOM, _TOP)
    unit = f" ({metric.unit})" if metric.unit else ""
    parts = [*axis_y(y, x.start, x.end, f"{metric.heading}{unit}"), *_dates(x, start, end)]
    heights = spread([y(points[-1][1]) for _, points in lines], 16)
    for position, ((name, points), height) in enumerate(zip(lines, heights, strict=True)):
        own = [(x(time), y(value)) for time, value in points]
        dots = [
            element("circle", cx=f"{a:g}", cy=f"{b:g}", r=3, class_=f"dot s{position % 6}")
            for a, b in own
        ]
        mark = element(
            "g",
            path(own, f"series s{position % 6}"),
            *dots,
            line(own[-1][0] + 4, own[-1][1], x.end + 14, height, "leader"),
            text(x.end + 18, height + 5, elided(name, 26), "name"),
            class_="mark",
        )
        values = " → ".join(f"{value:.{metric.digits}f}" for _, value in points)
        parts.append(titled(mark, elided(name, 120), values))
    bottom = max(_BOTTOM + 40, max(heights) + 16)
    return chart(bottom, t("History"), *parts)


def _dates(x: Scale, start: float, end: float) -> list[Element]:
    days = [datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M") for at in (start, end)]
    parts = [line(x.start, _BOTTOM, x.end, _BOTTOM, "axis-line")]
    parts.append(text(x.start, _BOTTOM + 20, days[0], "tick"))
    if days[1] != days[0]:
        parts.append(text(x.end, _BOTTOM + 20, days[1], "tick", "end"))
    return parts


def _time(record: Record) -> float:
    try:
        return datetime.fromisoformat(record.finished).timestamp()
    except ValueError:  # a record that another program wrote
        return 0.0
