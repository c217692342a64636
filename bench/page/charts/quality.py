"""Two charts of a table: quality with its interval, and quality against speed."""

from collections.abc import Callable, Iterator, Sequence
from xml.etree.ElementTree import Element

from bench.aggregate.markdown import quantity
from bench.aggregate.ranking import Place
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
from bench.page.markup import element, shortened
from bench.page.words import Words
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

Key = Callable[[Place], str]
"""Returns the mark that a row of the table and its points in charts share."""


def quality_chart(placed: Sequence[Place], key: Key, t: Words) -> Element | None:
    """Return a dot, an interval and the seeds of each row, the best first; None below two rows."""
    shown = [place for place in placed if place.row.ranking][:MAX_DOTS]
    names = distinct_names([place.row for place in shown])
    if len(shown) < 2:
        return None
    metric = shown[0].row.study.ranking_metric
    seeds = [[metric.scale * value for value in place.row.ranking_values()] for place in shown]
    ends = [end for place in shown for end in _interval(place, metric)]
    low, high = padded([*ends, *(value for values in seeds for value in values)], 0.03)
    x = Scale(low, high, 250, WIDTH - 20)
    bottom = 16 + 24 * len(shown)
    children = list(axis_x(x, 8, bottom, axis_title(metric)))
    for position, (place, values) in enumerate(zip(shown, seeds, strict=True)):
        y = 24 + 24 * position
        mean = place.row.ranking
        assert mean is not None
        children.append(
            titled(
                element(
                    "g",
                    text(240, y + 5, shortened(names[position]), _name(place), "end"),
                    line(*_ends(x, place, metric, y), "bar" if place.ranked else "bar faint"),
                    *(_dot(x(value), y, 2.2, "seed") for value in values if len(values) > 1),
                    _dot(x(metric.scale * mean.mean), y, 6, _fill(place)),
                    class_="mark",
                    data_r=key(place),
                ),
                *_words(place, metric),
            )
        )
    return chart(bottom + 48, t("Quality with its 95 % interval"), *children)


def speed_chart(placed: Sequence[Place], key: Key, t: Words) -> Element | None:
    """Return quality against speed with the Pareto front of ranked rows; None below two points."""
    points = [(place, speed) for place in placed if (speed := _speed(place)) is not None]
    names = distinct_names([place.row for place, _ in points])
    if len(points) < 2:
        return None
    metric = points[0][0].row.study.ranking_metric
    front = _front(points, metric)
    named: Sequence[int] = range(len(points)) if len(points) <= _NAMED else front
    x = Scale(*_speed_range([speed for _, speed in points]), 70, WIDTH - 170, log=True)
    bounds = padded([end for place, _ in points for end in _interval(place, metric)])
    # Names that push each other up or down have room, even if all of them do.
    y = Scale(*bounds, max(_BOTTOM, _TOP + _NAME_GAP * len(named)), _TOP)
    arrow = "↑" if metric.higher_is_better else "↓"
    children = [
        *axis_y(y, x.start, x.end, f"{axis_title(metric)} {arrow}"),
        *axis_x(x, y.end, y.start, f"{t('images per second')} →"),
    ]
    spots = [(x(speed.mean), y(_value(place, metric))) for place, speed in points]
    if len(front) > 1:
        children.append(path([spots[at] for at in front], "front"))
    heights = label_heights([spots[at] for at in named], _NAME_WIDTH, _NAME_GAP, y.start)
    labels = dict(zip(named, heights, strict=True))
    for at, (place, speed) in enumerate(points):
        parts = list(_point(place, speed, x, y))
        if at in labels:
            parts += _label(spots[at], labels[at], shortened(names[at], 22), _name(place))
        hint = (*_words(place, metric), t("{speed} images/s", speed=quantity(speed)))
        children.append(titled(element("g", *parts, class_="mark", data_r=key(place)), *hint))
    return chart(y.start + 50, t("Quality against speed"), *children)


def _front(points: Sequence[tuple[Place, Estimate]], metric: Metric) -> list[int]:
    ranked = [at for at, (place, _) in enumerate(points) if place.ranked]
    pairs = [(points[at][1].mean, _value(points[at][0], metric)) for at in ranked]
    return [ranked[at] for at in pareto_front(pairs, metric)]


def _point(place: Place, speed: Estimate, x: Scale, y: Scale) -> Iterator[Element]:
    """Yield a point and its intervals of quality and speed."""
    metric = place.row.study.ranking_metric
    across, height = x(speed.mean), y(_value(place, metric))
    low, high = _interval(place, metric)
    bar = "bar" if place.ranked else "bar faint"
    yield line(across, y(low), across, y(high), bar)
    yield from _speed_bar(x, speed, height, bar)
    yield _dot(across, height, 6, _fill(place))


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


def _speed(place: Place) -> Estimate | None:
    return place.row.measurement(SPEED) if place.row.ranking else None


def _value(place: Place, metric: Metric) -> float:
    assert place.row.ranking is not None
    return metric.scale * place.row.ranking.mean


def _interval(place: Place, metric: Metric) -> tuple[float, float]:
    value = place.row.ranking
    assert value is not None
    return metric.scale * value.low, metric.scale * value.high


def _ends(x: Scale, place: Place, metric: Metric, y: float) -> tuple[float, float, float, float]:
    low, high = _interval(place, metric)
    return x(low), y, x(high), y


def _dot(x: float, y: float, radius: float, class_: str) -> Element:
    return element("circle", cx=f"{x:g}", cy=f"{y:g}", r=f"{radius:g}", class_=class_)


def _fill(place: Place) -> str:
    kind = "full" if place.row.case.pretrained else "hollow"
    return kind if place.ranked else f"{kind} faint"


def _name(place: Place) -> str:
    return "name" if place.ranked else "name faint"


def axis_title(metric: Metric) -> str:
    """Return what an axis of a metric is called: its heading and unit."""
    return f"{metric.heading} ({metric.unit})" if metric.unit else metric.heading


def _words(place: Place, metric: Metric) -> tuple[str, ...]:
    value = place.row.ranking
    assert value is not None
    return (shortened(place.row.name, 120), f"{metric.heading} {metric.text(value.mean)}")
