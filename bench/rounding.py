"""Round bounds so that they stay bounds."""

import math


def at_most(bound: float) -> str:
    """Return an upper bound of a share in percent, to a decimal, never below the bound.

    >>> at_most(1 / 19), at_most(0.5)
    ('5.3 %', '50 %')
    """
    return f"{math.ceil(1000 * bound - 1e-9) / 10:g} %"


def rounded_down(bound: float, digits: int) -> float:
    """Return a lower bound to some digits behind the point, never above the bound.

    >>> rounded_down(2.379, 1)
    2.3
    """
    scale = 10.0**digits
    return math.floor(bound * scale + 1e-9) / scale
