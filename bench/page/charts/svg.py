"""What the charts share: a frame with axes, scales, ticks and labels that do not overlap."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.etree.ElementTree import Element

from bench.page.markup import Child, element

WIDTH = 720
"""Width of a chart in its own units; the page scales it."""


@dataclass(frozen=True)
class Scale:
    """Map values to positions, linearly or by logarithm.

    Attributes:
        low: Value at ``start``.
        high: Value at ``end``.
        start: First position.
        end: Last position.
        log: Whether equal ratios have equal distances; values are positive then.

    >>> Scale(0, 10, 100, 200)(5), Scale(1, 100, 0, 10, log=True)(10)
    (150.0, 5.0)
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the position of a value, to a tenth."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        share = (value - low) / (high - low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, count: int = 6) -> list[float]:
        """Return round values within the scale.

        >>> Scale(0, 1, 0, 1).ticks(5), Scale(3, 700, 0, 1, log=True).ticks()
        ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0])
        """
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            factors = (1, 2, 5) if len(powers) <= 4 else (1,)
            values = [factor * 10.0**power for power in powers for factor in factors]
            within = [value for value in values if self.low <= value <= self.high]
            if len(within) >= 3:
                return within
        step = _nice_step((self.high - self.low) / count)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(step * place, 10) for place in range(first, last + 1)]


def padded(values: Iterable[float], share: float = 0.06) -> tuple[float, float]:
    """Return the ends of values with a margin on both sides; equal values get one too."""
    values = list(values)
    low, high = min(values), max(values)
    margin = share * (high - low) or max(abs(high) * 0.02, 0.5)
    return low - margin, high + margin


def chart(height: float, label: str, *children: Child) -> Element:
    """Return a chart in a frame that scrolls where the window is too narrow to read it."""
    svg = element(
        "svg",
        *children,
        viewBox=f"0 0 {WIDTH} {height:g}",
        role="img",
        aria_label=label,
    )
    return element("div", svg, class_="chart")


def text(x: float, y: float, words: str, class_: str = "", anchor: str = "") -> Element:
    """Return a text at a position; ``anchor`` is ``middle`` or ``end``."""
    return element(
        "text", words, x=f"{x:g}", y=f"{y:g}", class_=class_ or None, text_anchor=anchor or None
    )


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Element:
    """Return a straight line."""
    return element("line", x1=f"{x1:g}", y1=f"{y1:g}", x2=f"{x2:g}", y2=f"{y2:g}", class_=class_)


def path(points: Sequence[tuple[float, float]], class_: str) -> Element:
    """Return a line through points."""
    return element("path", d="M" + "L".join(f"{x:g} {y:g}" for x, y in points), class_=class_)


def axis_x(scale: Scale, top: float, bottom: float, title: str) -> Iterable[Element]:
    """Yield grid lines, tick labels and title of a horizontal axis."""
    for value in scale.ticks():
        yield line(scale(value), top, scale(value), bottom, "grid")
        yield text(scale(value), bottom + 18, number(value), "tick", "middle")
    yield text((scale.start + scale.end) / 2, bottom + 40, title, "axis", "middle")


def axis_y(scale: Scale, left: float, right: float, title: str) -> Iterable[Element]:
    """Yield grid lines, tick labels and title of a vertical axis; the title stands above it."""
    for value in scale.ticks(5):
        yield line(left, scale(value), right, scale(value), "grid")
        yield text(left - 8, scale(value) + 5, number(value), "tick", "end")
    yield text(4, min(scale.start, scale.end) - 12, title, "axis")


def number(value: float) -> str:
    """Return a tick's value without needless digits.

    >>> number(0.25), number(5000.0), number(2_000_000)
    ('0.25', '5,000', '2e+06')
    """
    return f"{value:,g}" if abs(value) < 1e6 else f"{value:g}"


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Return positions pushed down until they are a gap apart, in the order given.

    >>> spread([1.0, 2.0, 30.0], 12)
    [1.0, 13.0, 30.0]
    """
    order = sorted(range(len(positions)), key=positions.__getitem__)
    placed = list(positions)
    for before, after in pairwise(order):
        placed[after] = max(placed[after], placed[before] + gap)
    return placed


def label_heights(
    places: Sequence[tuple[float, float]], wide: float, gap: float, bottom: float = math.inf
) -> list[float]:
    """Return heights of labels that begin at places, moved until none covers another.

    Labels are pushed down; those that would end up below the bottom are pushed up from there. None
    of n labels is pushed up further than n - 1 gaps above the bottom.

    Args:
        places: Where each label begins, x and y.
        wide: Width of a label.
        gap: Minimum distance of two labels whose widths overlap.
        bottom: Maximum height, counted downward.

    >>> label_heights([(0, 5), (10, 6), (500, 6)], 100, 12)
    [5, 17, 6]
    >>> label_heights([(0, 5), (10, 6), (500, 6)], 100, 12, bottom=10)
    [-2, 10, 6]
    """
    heights = _pushed(places, wide, gap)
    if max(heights, default=bottom) <= bottom:
        return heights
    upside_down = [(x, max(0, bottom - y)) for (x, _), y in zip(places, heights, strict=True)]
    return [bottom - y for y in _pushed(upside_down, wide, gap)]


def _pushed(places: Sequence[tuple[float, float]], wide: float, gap: float) -> list[float]:
    heights = [y for _, y in places]
    done: list[tuple[float, float]] = []
    for at in sorted(range(len(places)), key=lambda at: (places[at][1], places[at][0])):
        x, y = places[at]
        for _, other in sorted((b, b) for a, b in done if abs(a - x) < wide):
            if abs(other - y) < gap:
                y = other + gap
        done.append((x, y))
        heights[at] = y
    return heights


def titled(mark: Element, *words: str) -> Element:
    """Return a mark with a hint that shows on hover and is read aloud."""
    mark.insert(0, element("title", " · ".join(words)))
    return mark


def _nice_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999)
