"""Numbers and tables as people read them."""

from collections.abc import Sequence

from bench.aggregate.language import say
from bench.aggregate.statistics import Estimate
from bench.metrics.catalog import Metric

EMPTY = "–"

_ROOM = 2
"""Spaces added to the width of a heading."""


def metric_text(value: Estimate | None, metric: Metric, replicates: int | None = None) -> str:
    """Return ``97.62 ± 0.41``, or ``97.62 [91.05, 99.41]`` near the end of the scale.

    Args:
        value: The mean and its interval.
        metric: Metric, which knows its scale and digits.
        replicates: Number of replicates of the row; the text says when a value has fewer.
    """
    if value is None:
        return EMPTY
    text = metric.text(value.mean)
    if not value.symmetric:
        text += f" [{metric.text(value.low)}, {metric.text(value.high)}]"
    elif value.half_width is not None and not without_spread(value):
        text += f" ± {metric.text(value.half_width)}"
    return text + fewer_seeds(value, replicates)


def fewer_seeds(value: Estimate | None, replicates: int | None) -> str:
    """Return `` (1 of 3 seeds)`` if a value has fewer than its row has; otherwise nothing."""
    if value is None or replicates is None or value.n >= replicates:
        return ""
    return " " + say("({own} of {all} seeds)", own=value.n, all=replicates)


def without_spread(value: Estimate) -> bool:
    """Return whether one value has no spread by design, which ``± 0.00`` would not say."""
    return value.n == 1 and value.half_width == 0


def points(value: Estimate) -> str:
    """Return ``+1.25 [−0.30, +2.80]``: a difference of fractions in percentage points."""
    if value.half_width is None:
        return _signed(value.mean)
    return f"{_signed(value.mean)} [{_signed(value.low)}, {_signed(value.high)}]"


def quantity(value: Estimate | None) -> str:
    """Return ``1,234 ± 56``: a measured number to three significant digits, with its interval."""
    if value is None:
        return EMPTY
    places = _places(value.mean)
    text = f"{value.mean:,.{places}f}"
    if value.half_width is not None:
        text += f" ± {value.half_width:,.{places}f}"
    return text


def scaled(value: Estimate | None) -> str:
    """Return three significant digits of a mean with an SI prefix.

    >>> scaled(Estimate(55_012_345, None, 1)), scaled(Estimate(999, None, 1))
    ('55.0 M', '999')
    """
    if value is None:
        return EMPTY
    for power, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value.mean) >= power:
            number = value.mean / power
            return f"{number:.{_places(number)}f} {prefix}"
    return f"{value.mean:.0f}"


def mebibytes(value: Estimate | None) -> str:
    """Return a mean as ``1,234 MiB``."""
    return EMPTY if value is None else f"{value.mean / 2**20:,.0f} MiB"


def p_text(p: float) -> str:
    """Return a p value preceded by ``<`` or ``=``.

    >>> p_text(0.0004), p_text(0.0312)
    ('< .001', '= .031')
    """
    return "< .001" if p < 0.001 else f"= {p:.3f}".replace("0.", ".", 1)


def seeds(count: int) -> str:
    """Return ``1 seed`` or ``3 seeds``."""
    return f"{count} seed" if count == 1 else f"{count} seeds"


def percent(share: float) -> str:
    """Return a share to about two digits; only all of it is 100 %.

    >>> percent(1.0), percent(0.34), percent(0.0888), percent(0.996), percent(1.0001)
    ('100 %', '34 %', '8.9 %', '99.6 %', '100.1 %')
    """
    if 0.995 <= share < 1:
        return f"{min(100 * share, 99.9):.1f} %"
    if 1 < share < 1.005:
        return f"{max(100 * share, 100.1):.1f} %"
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"


def bold(text: str) -> str:
    """Return the text with Markdown's strong emphasis."""
    return f"**{text}**"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, words: Sequence[int]) -> str:
    """Return a Markdown table whose source is aligned too.

    Args:
        headers: Headings of the columns, translated where the language has a word.
        rows: Cells as text.
        words: Positions of left-aligned columns, which hold words; numbers are right-aligned.
    """
    escaped = [[_cell(text) for text in row] for row in (list(map(say, headers)), *rows)]
    columns = list(zip(*escaped, strict=True))
    padded, rules = [], []
    for position, column in enumerate(columns):
        width = max(len(column[0]) + _ROOM, *map(len, column))
        if position in words:
            padded.append([cell.ljust(width) for cell in column])
            rules.append(f":{'-' * (width + 1)}")
        else:
            padded.append([cell.rjust(width) for cell in column])
            rules.append(f"{'-' * (width + 1)}:")
    heading, *lines = [f"| {' | '.join(cells)} |" for cells in zip(*padded, strict=True)]
    return "\n".join([heading, f"|{'|'.join(rules)}|", *lines])


def _cell(text: str) -> str:
    """Return the text of a cell, in which neither a pipe nor a line end ends it."""
    return " ".join(text.splitlines()).replace("|", "\\|")


def _signed(fraction: float) -> str:
    return f"{100 * fraction:+.2f}".replace("-", "−")


def _places(value: float) -> int:
    """Return how many decimal places give three significant digits."""
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    return max(0, 3 - max(whole, 1))
