"""Numbers and tables as people read them."""

from collections.abc import Sequence

from tabulate import tabulate

from bench.report.statistics import Estimate

EMPTY = "–"


def percent(found: Estimate | None, digits: int = 1, *, of: int | None = None) -> str:
    """``97.62 ± 0.41`` of a fraction of 1.

    Args:
        found: The mean and its interval.
        digits: Decimal places.
        of: How many seeds the row has; said where the value rests on fewer.
    """
    if found is None:
        return EMPTY
    text = f"{100 * found.mean:.{digits}f}"
    if found.half_width is not None:
        text += f" ± {100 * found.half_width:.{digits}f}"
    if of is not None and found.n < of:
        text += f" ({found.n} of {of} seeds)"
    return text


def points(found: Estimate) -> str:
    """``+1.25 [−0.30, +2.80]``: a difference of fractions in percentage points."""
    if found.half_width is None:
        return _signed(found.mean)
    return f"{_signed(found.mean)} [{_signed(found.low)}, {_signed(found.high)}]"


def quantity(found: Estimate | None, digits: int = 3) -> str:
    """``1,234 ± 56``: a measured number to its significant digits, with its interval."""
    if found is None:
        return EMPTY
    places = _places(found.mean, digits)
    text = f"{found.mean:,.{places}f}"
    if found.half_width is not None:
        text += f" ± {found.half_width:,.{places}f}"
    return text


def scaled(value: float | None) -> str:
    """``55.0 M``: three significant digits with an SI prefix."""
    if value is None:
        return EMPTY
    for power, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= power:
            return f"{value / power:.{_places(value / power, 3)}f} {prefix}"
    return f"{value:.0f}"


def mebibytes(value: float | None) -> str:
    """``1,234 MiB``."""
    return EMPTY if value is None else f"{value / 2**20:,.0f} MiB"


def seeds(count: int) -> str:
    """``1 seed``, ``3 seeds``."""
    return f"{count} seed" if count == 1 else f"{count} seeds"


def bold(text: str) -> str:
    """Markdown's strong emphasis."""
    return f"**{text}**"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, words: Sequence[int]) -> str:
    """A Markdown table whose source lines up too.

    Args:
        headers: One a column.
        rows: Cells as text.
        words: Columns that hold words and start at the left; numbers end at the right.
    """
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    sides = ["left" if column in words else "right" for column in range(len(headers))]
    return tabulate(escaped, headers, tablefmt="pipe", disable_numparse=True, colalign=sides)


def _signed(fraction: float) -> str:
    return f"{100 * fraction:+.2f}".replace("-", "−")


def _places(value: float, digits: int) -> int:
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    return max(0, digits - max(whole, 1))
