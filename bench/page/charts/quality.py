"""Two charts of a table: quality with its interval, and quality against speed."""

from collections.abc import Callable, Iterator, Sequence
from xml.etree.ElementTree import Element

from bench.aggregate.markdown import quantity
from bench.aggregate.ranking import RankedRow
from bench.aggregate.statistics import Estimate
from bench.metrics.catalog import Metric
from bench.page.charts.svg import (
    WIDTH,
    Scale,
    axis_x,
    axis_y,
    chart,
    label_heights,
    line,
    padded,
    path,
    text,
    titled,
)
from bench.page.markup import element, elided
from bench.page.words import t
from bench.report.row_names import distinct_names

SPEED = "inference_images_per_s"

_NAMED = 12
"""Maximum number of points that are all named; if there are more, only those of the front are."""

_TOP, _BOTTOM = 36, 300
_NAME_WIDTH, _NAME_GAP = 180, 16

_REACH = 4.0
"""Factor by which the axis may extend beyond the highest speed to show the end of an interval, and
likewise below the lowest one."""

MAX_DOTS = 40
"""Maximum number of rows drawn; the table has the rest."""

Key = Callable[[RankedRow], str]
"""Returns the mark that a row of the table and its points in charts share."""


def quality_chart(rows: Sequence[RankedRow], key: Key) -> Element | None:
    """Return a dot, an interval and the seeds of each row, the best first; None below two rows."""
    shown = [each for each in rows if each.row.ranking][:MAX_DOTS]
    names = distinct_names([each.row for each in shown])
    if len(shown) < 2:
        return None
    metric = shown[0].row.study.ranking_metric
    seeds = [[metric.scale * value for value in each.row.ranking_values()] for each in shown]
    ends = [end for each in shown for end in _interval(each, metric)]
    low, high = padded([*ends, *(value for values in seeds for value in values)], 0.03)
    x = Scale(low, high, 250, WIDTH - 20)
    bottom = 16 + 24 * len(shown)
    children = list(axis_x(x, 8, bottom, axis_title(metric)))
    for position, (ranked_row, values) in enumerate(zip(shown, seeds, strict=True)):
        y = 24 + 24 * position
        mean = ranked_row.row.ranking
        assert mean is not None
        children.append(
            titled(
                element(
                    "g",
                    text(240, y + 5, elided(names[position]), _name(ranked_row), "end"),
                    line(
                        *_ends(x, ranked_row, metric, y),
                        "bar" if ranked_row.ranked else "bar faint",
                    ),
                    *(_dot(x(value), y, 2.2, "seed") for value in values if len(values) > 1),
                    _dot(x(metric.scale * mean.mean), y, 6, _fill(ranked_row)),
                    class_="mark",
                    data_r=key(ranked_row),
                ),
                *_words(ranked_row, metric),
            )
        )
    return chart(bottom + 48, t("Quality with its 95 % interval"), *children)


def speed_chart(rows: Sequence[RankedRow], key: Key) -> Element | None:
    """Return quality against speed with the Pareto front of ranked rows; None below two points."""
    points = [(each, speed) for each in rows if (speed := _speed(each)) is not None]
    names = distinct_names([each.row for each, _ in points])
    if len(points) < 2:
        return None
    metric = points[0][0].row.study.ranking_metric
    front = _front(points, metric)
    named: Sequence[int] = range(len(points)) if len(points) <= _NAMED else front
    x = Scale(*_speed_range([speed for _, speed in points]), 70, WIDTH - 170, log=True)
    bounds = padded([end for each, _ in points for end in _interval(each, metric)])
    # Names that push each other up or down have room, even if all of them do.
    y = Scale(*bounds, max(_BOTTOM, _TOP + _NAME_GAP * len(named)), _TOP)
    arrow = "↑" if metric.higher_is_better else "↓"
    children = [
        *axis_y(y, x.start, x.end, f"{axis_title(metric)} {arrow}"),
        *axis_x(x, y.end, y.start, f"{t('images per second')} →"),
    ]
    spots = [(x(speed.mean), y(_value(each, metric))) for each, speed in points]
    if len(front) > 1:
        children.append(path([spots[at] for at in front], "front"))
    heights = label_heights([spots[at] for at in named], _NAME_WIDTH, _NAME_GAP, y.start)
    labels = dict(zip(named, heights, strict=True))
    for at, (ranked_row, speed) in enumerate(points):
        parts = list(_point(ranked_row, speed, x, y))
        if at in labels:
            parts += _label(spots[at], labels[at], elided(names[at], 22), _name(ranked_row))
        hint = (*_words(ranked_row, metric), t("{speed} images/s", speed=quantity(speed)))
        children.append(titled(element("g", *parts, class_="mark", data_r=key(ranked_row)), *hint))
    return chart(y.start + 50, t("Quality against speed"), *children)


def _front(points: Sequence[tuple[RankedRow, Estimate]], metric: Metric) -> list[int]:
    ranked = [at for at, (each, _) in enumerate(points) if each.ranked]
    pairs = [(points[at][1].mean, _value(points[at][0], metric)) for at in ranked]
    return [ranked[at] for at in pareto_front(pairs, metric)]


def _point(ranked_row: RankedRow, speed: Estimate, x: Scale, y: Scale) -> Iterator[Element]:
    """Yield a point and its intervals of quality and speed."""
    metric = ranked_row.row.study.ranking_metric
    across, height = x(speed.mean), y(_value(ranked_row, metric))
    low, high = _interval(ranked_row, metric)
    bar = "bar" if ranked_row.ranked else "bar faint"
    yield line(across, y(low), across, y(high), bar)
    yield from _speed_bar(x, speed, height, bar)
    yield _dot(across, height, 6, _fill(ranked_row))


def _label(spot: tuple[float, float], height: float, name: str, class_: str) -> Iterator[Element]:
    """Yield the name of a point, and a line to it if another name pushed it away."""
    across, own = spot
    if abs(height - own) > 1:
        yield line(across + 6, own, across + 9, height - 12, "leader")
    yield text(across + 11, height - 7, name, class_)


def _speed_range(speeds: Sequence[Estimate]) -> tuple[float, float]:
    """Return the ends of an axis that holds every interval, except the far end of a huge one."""
    means = [speed.mean for speed in speeds]
    low = max(min(speed.low for speed in speeds), min(means) / _REACH)
    high = min(max(speed.high for speed in speeds), max(means) * _REACH)
    return min(low / 1.1, min(means) / 1.3), max(high * 1.1, max(means) * 1.3)


def _speed_bar(x: Scale, speed: Estimate, height: float, bar: str) -> Iterator[Element]:
    """Yield the interval of a speed; where it goes on beyond the axis, it ends in an arrow."""
    low, high = max(speed.low, x.low), min(speed.high, x.high)
    yield line(x(low), height, x(high), height, bar)
    for end, beyond, inward in ((low, speed.low < low, 6), (high, speed.high > high, -6)):
        if beyond:
            yield line(x(end), height, x(end) + inward, height - 5, bar)
            yield line(x(end), height, x(end) + inward, height + 5, bar)


def pareto_front(points: Sequence[tuple[float, float]], metric: Metric) -> list[int]:
    """Return the points that no other beats in both, the fastest first.

    Args:
        points: Speed and quality.
        metric: Metric of the quality, which knows its direction.

    >>> from bench.metrics.catalog import METRICS
    >>> pareto_front([(1, 0.9), (2, 0.8), (3, 0.8), (2, 0.95), (4, 0.1)], METRICS["image_auroc"])
    [4, 2, 3]
    """
    order = sorted(
        range(len(points)), key=lambda at: (-points[at][0], -metric.sort_key(points[at][1]))
    )
    front: list[int] = []
    for at in order:
        if not front or metric.better(points[at][1], points[front[-1]][1]):
            front.append(at)
    return front


def _speed(ranked_row: RankedRow) -> Estimate | None:
    return ranked_row.row.measurement(SPEED) if ranked_row.row.ranking else None


def _value(ranked_row: RankedRow, metric: Metric) -> float:
    assert ranked_row.row.ranking is not None
    return metric.scale * ranked_row.row.ranking.mean


def _interval(ranked_row: RankedRow, metric: Metric) -> tuple[float, float]:
    value = ranked_row.row.ranking
    assert value is not None
    return metric.scale * value.low, metric.scale * value.high


def _ends(
    x: Scale, ranked_row: RankedRow, metric: Metric, y: float
) -> tuple[float, float, float, float]:
    low, high = _interval(ranked_row, metric)
    return x(low), y, x(high), y


def _dot(x: float, y: float, radius: float, class_: str) -> Element:
    return element("circle", cx=f"{x:g}", cy=f"{y:g}", r=f"{radius:g}", class_=class_)


def _fill(ranked_row: RankedRow) -> str:
    kind = "full" if ranked_row.row.case.pretrained else "hollow"
    return kind if ranked_row.ranked else f"{kind} faint"


def _name(ranked_row: RankedRow) -> str:
    return "name" if ranked_row.ranked else "name faint"


def axis_title(metric: Metric) -> str:
    """Return the title of a metric's axis: its heading and unit."""
    return f"{metric.heading} ({metric.unit})" if metric.unit else metric.heading


def _words(ranked_row: RankedRow, metric: Metric) -> tuple[str, ...]:
    value = ranked_row.row.ranking
    assert value is not None
    return (elided(ranked_row.row.name, 120), f"{metric.heading} {metric.text(value.mean)}")
