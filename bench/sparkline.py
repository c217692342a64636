"""Series of numbers as a line of text."""

from collections.abc import Sequence
from itertools import pairwise

_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], length: int | None = None) -> str:
    """Return values as a row of blocks of eight heights.

    Args:
        values: The values.
        length: Maximum number of blocks, each of which is the mean of its part of the values; None
            for a block for each value.

    Example:
        >>> sparkline([8, 4, 2, 1, 0, 0]), sparkline([1.0, 1.0]), sparkline(range(100), 4)
        ('█▅▃▂▁▁', '▁▁', '▁▃▆█')
    """
    count = min(length or len(values), len(values))
    ends = [len(values) * place // count for place in range(count + 1)] if count else [0]
    parts = [values[a:b] for a, b in pairwise(ends)]
    means = [sum(part) / len(part) for part in parts]
    low, high = min(means, default=0.0), max(means, default=0.0)
    span = high - low or 1.0
    return "".join(_BLOCKS[round((mean - low) / span * (len(_BLOCKS) - 1))] for mean in means)
