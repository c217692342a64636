"""Two inks printed on paper: rings with a dot alternate with crosses on a square grid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets_lib.surface import SIZE, shapes
from datasets_lib.surface.fields import Field, blend, ramp, rgb, smooth, streaks, turned

PITCH = SIZE / 6
CELLS = 16
"""Cells of the table along each axis, more than a picture shows."""
PAPER = (0.80, 0.78, 0.73)
TEAL, RED = (0.16, 0.42, 0.46), (0.70, 0.27, 0.20)
Table = NDArray[np.float64]


@dataclass(frozen=True)
class Sheet:
    """The properties of one printed sheet.

    Attributes:
        row: Position down the grid, in cells; motifs are centered at halves.
        column: Position across the grid, in cells.
        offset: Registration of each ink: rows and columns in pixels, ``(2, 2)``.
        density: Coverage of each ink, ``(2, SIZE, SIZE)``.
        paper: Brightness of the paper.
    """

    row: Field
    column: Field
    offset: Table
    density: Field
    paper: Field


@dataclass
class Motifs:
    """The motif printed in each cell, ``(CELLS, CELLS)``, and by each ink.

    Attributes:
        shift: Displacement in pixels, ``(2 inks, 2 axes, CELLS, CELLS)``.
        turn: Rotation in radians.
        extent: Horizontal position up to which the motif is printed, in half widths.
    """

    shift: Table
    turn: Table
    extent: Table


def draw(rng: np.random.Generator, kind: str | None, damage: np.random.Generator) -> Field:
    """Draw the reflectance of one piece, ``(SIZE, SIZE, 3)``."""
    sheet = _sheet(rng)
    motifs = Motifs(
        shift=0.3 * rng.standard_normal((2, 2, CELLS, CELLS)),
        turn=0.03 * rng.standard_normal((CELLS, CELLS)),
        extent=np.full((CELLS, CELLS), 2.0),
    )
    if kind == "missing_part":
        cell = _choose_cell(sheet, damage)
        motifs.extent[cell] = damage.choice([-2.0, damage.uniform(-0.5, 0.3)])
    if kind == "misplacement":
        _misplace(motifs, _choose_cell(sheet, damage), damage)
    scene = _print(sheet, motifs)
    if kind == "scratch":
        return _scratched(scene, sheet, damage)
    if kind == "stain":
        return _smeared(scene, damage)
    if kind == "crack":
        return _creased(scene, damage)
    return scene


def _sheet(rng: np.random.Generator) -> Sheet:
    rows, columns = turned(rng.normal(0, 0.015))
    pitch = PITCH * np.exp(rng.normal(0, 0.015))
    # The sheet lies against a stop with some play: six whole motifs along each side.
    phase = CELLS / 2 + rng.uniform(-5, 5, 2) / PITCH
    mottle = np.stack([smooth(rng, 40) + smooth(rng, 5) for _ in range(2)])
    return Sheet(
        row=rows / pitch + phase[0],
        column=columns / pitch + phase[1],
        offset=rng.normal(0, 0.35, (2, 2)),
        density=rng.uniform(0.82, 0.98, (2, 1, 1)) + 0.025 * mottle,
        paper=1 + 0.012 * streaks(rng, 6) + 0.012 * streaks(rng, 6).T,
    )


def _choose_cell(sheet: Sheet, damage: np.random.Generator) -> tuple[int, int]:
    """Choose a cell whose motif is fully in the picture."""
    row, column = (shapes.center(damage, 30) + SIZE / 2).astype(np.int64)
    return int(sheet.row[row, column]), int(sheet.column[row, column])


def _misplace(motifs: Motifs, cell: tuple[int, int], damage: np.random.Generator) -> None:
    """Rotate a cross; displace a ring, its dot, or both."""
    if sum(cell) % 2:
        motifs.turn[cell] += damage.choice([-1, 1]) * damage.uniform(0.4, 0.78)
        return
    push, toward = damage.uniform(5.5, 8.0), damage.uniform(0, 2 * np.pi)
    inks = slice(None) if damage.random() < 0.3 else int(damage.integers(0, 2))
    motifs.shift[inks, :, cell[0], cell[1]] += push * np.array([np.sin(toward), np.cos(toward)])


def _print(sheet: Sheet, motifs: Motifs) -> Field:
    scene = np.array(PAPER) * rgb(sheet.paper)
    row, column = np.floor(sheet.row).astype(np.int64), np.floor(sheet.column).astype(np.int64)
    down = (sheet.row - row - 0.5) * PITCH
    right = (sheet.column - column - 0.5) * PITCH
    ring = (row + column) % 2 == 0
    cos, sin = np.cos(motifs.turn)[row, column], np.sin(motifs.turn)[row, column]
    extent = motifs.extent[row, column]
    for ink, color in enumerate((TEAL, RED)):
        y = down - sheet.offset[ink, 0] - motifs.shift[ink, 0][row, column]
        x = right - sheet.offset[ink, 1] - motifs.shift[ink, 1][row, column]
        distance = _outline(ink, ring, cos * y + sin * x, cos * x - sin * y)
        inked = ramp(distance, 0.6, -0.6) * ramp(x / 13, extent, extent - 0.08)
        scene = blend(scene, color, np.clip(sheet.density[ink], 0, 1) * inked)
    return scene


def _outline(ink: int, ring: NDArray[np.bool_], y: Field, x: Field) -> Field:
    """Return the signed distance to a motif's outline in pixels, negative on the ink."""
    radius = np.hypot(y, x)
    if ink == 1:
        return np.where(ring, radius - 4.5, np.abs(radius - 3.2) - 1.2)
    # A cross is the union of two bars, the minimum of their distances.
    a, b = np.abs(y), np.abs(x)
    cross = np.minimum(np.maximum(a - 3.0, b - 13.0), np.maximum(b - 3.0, a - 13.0))
    return np.where(ring, np.abs(radius - 10.5) - 2.5, np.maximum(cross, 6.0 - radius))


def _scratched(scene: Field, sheet: Sheet, damage: np.random.Generator) -> Field:
    """Scrape ink off along a line and roughen the bare paper."""
    line = shapes.stroke(
        shapes.path(
            damage, damage.uniform(60, 120), damage.uniform(0, np.pi), damage.normal(0, 0.3), 0.03
        )
    )
    scraped = line.line(damage.uniform(2.4, 4.0)) * np.clip(0.85 + 0.3 * smooth(damage, 64), 0.3, 1)
    rough = np.array(PAPER) * rgb(sheet.paper * 0.7)
    return blend(scene, rough, damage.uniform(0.75, 1.0) * scraped)


def _smeared(scene: Field, damage: np.random.Generator) -> Field:
    """Spill a thin film of ink over the print."""
    depth = shapes.blob(damage, damage.uniform(11, 19)) + 1.2 * smooth(damage, 24)
    film, rim = ramp(depth, -1.5, 2), np.exp(-(((depth - 1) / 1.8) ** 2))
    loss = damage.uniform(0.13, 0.26) * (film + 0.5 * rim)
    hue = np.array([1.25, 0.9, 0.75]) if damage.random() < 0.5 else np.array([0.7, 0.95, 1.3])
    stained: Field = scene * (1 - rgb(loss) * hue)
    return stained


def _creased(scene: Field, damage: np.random.Generator) -> Field:
    """Draw a cracked fold: ink and coating broken open along a jagged line."""
    width, angle = damage.uniform(1.8, 3.0), damage.uniform(0, np.pi)
    for branch in shapes.crack(damage, damage.uniform(40, 80), angle, 0.4):
        open_ = branch.line(width, taper=0.3)
        lifted = branch.line(width + 3, taper=0.3, soft=1.5) * (branch.side > 0)
        scene = scene * (1 - 0.1 * rgb(lifted))
        scene = blend(scene, (0.36, 0.33, 0.30), damage.uniform(0.55, 0.85) * open_)
    return scene
