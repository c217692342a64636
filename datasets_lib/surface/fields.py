"""Random fields that surfaces are made of; every field is float64, ``(SIZE, SIZE)``.

Sums are written out instead of using BLAS, whose order of summation depends on the machine. The
remaining rounding differences (the last bit of a sine) are 10¹³ times finer than a gray level.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from datasets_lib.surface import SIZE

Field = NDArray[np.float64]


@cache
def grid() -> tuple[Field, Field]:
    """Return row and column of every pixel, measured from the center of the image."""
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float64) - (SIZE - 1) / 2
    rows.flags.writeable = columns.flags.writeable = False
    return rows, columns


@cache
def _spline(cells: int) -> tuple[tuple[NDArray[np.int64], Field], ...]:
    """Return the four knots around each pixel of an axis and their cubic B-spline weights."""
    position = (np.arange(SIZE) + 0.5) / SIZE * cells
    cell = position.astype(np.int64)
    t = position - cell
    weights = (
        (1 - t) ** 3 / 6,
        (3 * t**3 - 6 * t**2 + 4) / 6,
        (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
        t**3 / 6,
    )
    return tuple((cell + offset, weight) for offset, weight in enumerate(weights))


def smooth(rng: np.random.Generator, down: int, across: int | None = None) -> Field:
    """Draw smooth noise of about unit variance, ``down`` × ``across`` cells (default square)."""
    across = down if across is None else across
    knots = rng.standard_normal((down + 3, across + 3))
    # The spline is separable: interpolate along the rows, then along the columns.
    rows = np.zeros((down + 3, SIZE))
    for knot, weight in _spline(across):
        rows += weight * knots[:, knot]
    field = np.zeros((SIZE, SIZE))
    for knot, weight in _spline(down):
        field += weight[:, None] * rows[knot]
    # A cubic B-spline of independent knots has a mean variance of 151/315 along each axis.
    return field * (315 / 151)


def streaks(rng: np.random.Generator, length: int, rows: int = SIZE) -> Field:
    """Draw horizontal streaks of unit variance, ``(rows, SIZE)``, with a triangular window."""
    half = max(1, length // 2)
    noise = rng.standard_normal((rows, SIZE))
    for _ in range(2):
        noise = uniform_filter1d(noise, half, axis=1, mode="wrap")
    # Two boxes of n taps leave a variance of (2 n² + 1) / (3 n³).
    unit: Field = noise / np.sqrt((2 * half**2 + 1) / (3 * half**3))
    return unit


def ramp(field: Field, low: float | Field, high: float | Field) -> Field:
    """Rise smoothly from 0 at ``low`` to 1 at ``high``; fall if high < low.

    >>> ramp(np.array([0.0, 1.0, 2.0]), 0, 2).tolist()
    [0.0, 0.5, 1.0]
    """
    t: Field = np.clip((field - low) / (np.asarray(high) - low), 0.0, 1.0)
    return t * t * (3 - 2 * t)


def turned(radians: float) -> tuple[Field, Field]:
    """Return `grid` rotated about the center."""
    rows, columns = grid()
    cos, sin = np.cos(radians), np.sin(radians)
    return cos * rows - sin * columns, sin * rows + cos * columns


def rgb(field: Field) -> Field:
    """Add a channel axis, ``(SIZE, SIZE, 1)``, that broadcasts over three channels."""
    return field.reshape(SIZE, SIZE, 1)


def tint(field: Field, dark: tuple[float, ...], light: tuple[float, ...]) -> Field:
    """Return colors from ``dark`` at 0 to ``light`` at 1, ``(SIZE, SIZE, 3)``."""
    color: Field = np.array(dark) + rgb(field) * (np.array(light) - np.array(dark))
    return color


def blend(scene: Field, color: Field | tuple[float, ...], alpha: Field) -> Field:
    """Cover ``scene`` with ``color`` at the opacity ``alpha``, ``(SIZE, SIZE, 3)``."""
    return scene + rgb(alpha) * (np.asarray(color) - scene)
