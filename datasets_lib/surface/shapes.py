"""Shapes of defects: random strokes, cracks and blobs as fields, ``(SIZE, SIZE)`` float64."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets_lib.surface import SIZE
from datasets_lib.surface.fields import Field, grid

Points = NDArray[np.float64]
MARGIN = 24
"""Minimum distance of a defect's center from the border in pixels."""


@dataclass(frozen=True)
class Stroke:
    """The position of every pixel relative to a polyline.

    Attributes:
        distance: Distance to the line in pixels.
        side: Signed distance; the sign is the side of the nearest piece.
        along: Position of the nearest point, 0 at the start, 1 at the end.
    """

    distance: Field
    side: Field
    along: Field

    def line(self, width: float, taper: float = 0.15, soft: float = 0.7) -> Field:
        """Return the coverage by a line of this width, with tapered ends."""
        ends = np.clip(np.minimum(self.along, 1 - self.along) / taper, 0.0, 1.0)
        half = width / 2 * np.sqrt(ends)
        return np.clip((half - self.distance) / soft + 0.5, 0.0, 1.0) * (ends > 0)


def center(rng: np.random.Generator, margin: float = MARGIN) -> Points:
    """Draw the center of a defect: (row, column) from the center of the image."""
    return rng.uniform(-1, 1, 2) * (SIZE / 2 - margin)


def path(
    rng: np.random.Generator, length: float, angle: float, bend: float, jag: float, pieces: int = 12
) -> Points:
    """Draw a wandering line, ``(pieces + 1, 2)`` rows and columns.

    Args:
        rng: Source of randomness.
        length: Length in pixels.
        angle: Mean direction in radians; 0 runs along a row.
        bend: Turn from one end to the other, in radians.
        jag: Standard deviation of the direction of each piece, in radians.
        pieces: Number of straight pieces.
    """
    turn = angle + bend * np.linspace(-0.5, 0.5, pieces) + jag * rng.standard_normal(pieces)
    steps = np.stack([np.sin(turn), np.cos(turn)], axis=1) * (length / pieces)
    points = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    reach = np.maximum(SIZE / 2 - 8 - np.ptp(points, axis=0) / 2, 0.0)
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    placed: Field = points - middle + rng.uniform(-1, 1, 2) * reach
    return placed


def stroke(points: Points) -> Stroke:
    """Compute the distances of all pixels to a polyline, ``(n, 2)``."""
    rows, columns = grid()
    best = np.full((SIZE, SIZE), np.inf)
    side = np.zeros((SIZE, SIZE))
    along = np.zeros((SIZE, SIZE))
    pieces = len(points) - 1
    for index in range(pieces):
        (row, column), (down, right) = points[index], points[index + 1] - points[index]
        y, x = rows - row, columns - column
        squared = down * down + right * right
        # The nearest point of this piece, as a share of its length.
        t = np.clip((y * down + x * right) / squared, 0.0, 1.0)
        distance = np.hypot(y - t * down, x - t * right)
        nearer = distance < best
        best = np.where(nearer, distance, best)
        side = np.where(nearer, np.sign(y * right - x * down) * distance, side)
        along = np.where(nearer, (index + t) / pieces, along)
    return Stroke(best, side, along)


def blob(
    rng: np.random.Generator, radius: float, stretch: float = 1.0, ragged: float = 0.2
) -> Field:
    """Draw an irregular blob: depth inside its outline in pixels, negative outside.

    Args:
        rng: Source of randomness.
        radius: Mean radius in pixels.
        stretch: Vertical over horizontal extent at equal area.
        ragged: Standard deviation of the outline's second harmonic; higher harmonics are weaker.
    """
    rows, columns = grid()
    row, column = center(rng, MARGIN + radius * 0.5)
    y, x = (rows - row) / np.sqrt(stretch), (columns - column) * np.sqrt(stretch)
    angle = np.arctan2(y, x)
    outline = np.ones((SIZE, SIZE))
    for harmonic in range(2, 8):
        size, phase = ragged * rng.standard_normal(), rng.uniform(0, 2 * np.pi)
        outline += size * np.cos(harmonic * angle + phase) / (harmonic - 1)
    depth: Field = radius * np.maximum(outline, 0.4) - np.hypot(y, x)
    return depth


def crack(rng: np.random.Generator, length: float, angle: float, jag: float) -> list[Stroke]:
    """Draw a jagged line with up to two branches."""
    trunk = path(rng, length, angle, rng.normal(0, 0.3), jag, pieces=16)
    strokes = [stroke(trunk)]
    for _ in range(rng.integers(0, 3)):
        start = trunk[rng.integers(4, 12)]
        fork = angle + rng.choice([-1, 1]) * rng.uniform(0.4, 0.9)
        branch = path(rng, length * rng.uniform(0.2, 0.4), fork, 0.0, jag, pieces=6)
        strokes.append(stroke(branch - branch[0] + start))
    return strokes
