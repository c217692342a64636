"""Brushed steel: fine streaks along the rows under a broad highlight."""

import numpy as np
from scipy.ndimage import map_coordinates

from datasets_lib.surface import SIZE, shapes
from datasets_lib.surface.fields import Field, blend, grid, ramp, rgb, smooth, streaks, tint, turned

PAD = 16
"""Extra rows beyond each edge, so that a tilted stroke stays on the metal."""


def draw(rng: np.random.Generator, kind: str | None, damage: np.random.Generator) -> Field:
    """Draw the reflectance of one piece, ``(SIZE, SIZE, 3)``."""
    contrast = 0.085 * np.exp(rng.normal(0, 0.15))
    brushing = _tilted(_brushing(rng), rng.normal(0, 0.012))
    hue, highlight = rng.uniform(0, 1), _highlight(rng)
    if kind == "misplacement":
        brushing = _misbrushed(brushing, damage)
    if kind == "stain":
        return _stained(brushing * contrast, highlight, hue, damage)
    scene = _steel(brushing * contrast, highlight, hue)
    if kind == "scratch":
        return _scratched(scene, damage)
    if kind == "crack":
        return _cracked(scene, damage)
    if kind == "missing_part":
        return _chipped(scene, damage)
    return scene


def _brushing(rng: np.random.Generator) -> Field:
    """Draw streaks of three lengths and a few deep hairlines, ``(SIZE + 2 PAD, SIZE)``."""
    rows = SIZE + 2 * PAD
    through = rng.standard_normal((rows, 1))
    brushing = 0.7 * streaks(rng, 30, rows) + 0.6 * streaks(rng, 120, rows) + 0.45 * through
    for row in rng.integers(0, rows, rng.poisson(5)):
        start, length = rng.integers(-40, SIZE), rng.integers(40, 160)
        brushing[row, max(start, 0) : max(start + length, 0)] += rng.choice([-3.0, 3.0])
    return brushing


def _tilted(brushing: Field, slope: float) -> Field:
    """Tilt the brushing, with rows sloping by ``slope`` pixels per pixel."""
    rows, columns = grid()
    position = rows + (SIZE - 1) / 2 + PAD + np.clip(slope, -0.05, 0.05) * columns
    row = position.astype(np.int64)
    part = position - row
    column = np.arange(SIZE)
    # Linear interpolation between the two nearest rows.
    tilted: Field = (1 - part) * brushing[row, column] + part * brushing[row + 1, column]
    return tilted


def _highlight(rng: np.random.Generator) -> Field:
    """Draw a bright band across the brushing, the reflection of a lamp."""
    _, columns = grid()
    middle, width = rng.uniform(-110, 110), rng.uniform(55, 90)
    return 0.11 * np.exp(-(((columns - middle) / width) ** 2)) + 0.012 * smooth(rng, 4)


def _steel(brushing: Field, highlight: Field, hue: float) -> Field:
    lightness = 0.5 * (1 + brushing) + highlight * (1 + 1.5 * brushing)
    cold, warm = np.array([0.97, 1.0, 1.04]), np.array([1.02, 1.0, 0.96])
    steel: Field = rgb(lightness) * (cold + hue * (warm - cold))
    return steel


def _misbrushed(brushing: Field, damage: np.random.Generator) -> Field:
    """Brush a patch in another direction."""
    turn = damage.choice([-1, 1]) * damage.uniform(0.2, 0.6)
    rows, columns = turned(turn)
    middle = (SIZE - 1) / 2
    other = map_coordinates(
        0.7 * streaks(damage, 30) + 0.75 * streaks(damage, 120),
        [rows + middle, columns + middle],
        order=1,
        mode="grid-wrap",
    )
    patch = ramp(shapes.blob(damage, damage.uniform(12, 21), damage.uniform(0.5, 1.0)), -3, 3)
    mixed: Field = brushing + patch * (1.15 * other - brushing)
    return mixed


def _stained(brushing: Field, highlight: Field, hue: float, damage: np.random.Generator) -> Field:
    """Draw dried oil: a brownish film that flattens the brushing, darker at its rim."""
    depth = shapes.blob(damage, damage.uniform(12, 22)) + 1.2 * smooth(damage, 20)
    film = ramp(depth, -1.5, 2)
    rim = np.exp(-(((depth - 1) / 2) ** 2))
    scene = _steel(brushing * (1 - 0.4 * film), highlight, hue)
    loss = damage.uniform(0.03, 0.09) * (film + 0.7 * rim)
    stained: Field = scene * (1 - rgb(loss) * np.array([0.7, 0.95, 1.35]))
    return stained


def _scratched(scene: Field, damage: np.random.Generator) -> Field:
    """Draw a groove at an angle to the brushing, with a bright and a dark flank."""
    angle = damage.choice([-1, 1]) * damage.uniform(0.35, 1.4)
    groove = shapes.stroke(
        shapes.path(damage, damage.uniform(50, 110), angle, damage.normal(0, 0.3), 0.03)
    )
    depth = damage.uniform(0.1, 0.17)
    cut = groove.line(damage.uniform(1.8, 3.0))
    flank = np.clip(groove.side / 1.2, -1, 1)
    return scene + rgb(depth * cut * (0.25 + flank))


def _cracked(scene: Field, damage: np.random.Generator) -> Field:
    """Draw a jagged dark line with branches."""
    angle = damage.uniform(0, np.pi)
    width = damage.uniform(1.2, 2.2)
    for branch in shapes.crack(damage, damage.uniform(40, 80), angle, 0.45):
        gap = branch.line(width, taper=0.3)
        scene = blend(scene, (0.2, 0.2, 0.21), damage.uniform(0.25, 0.55) * gap)
    return scene


def _chipped(scene: Field, damage: np.random.Generator) -> Field:
    """Draw a broken-out flake: dull grains below, an edge lit on one side only."""
    depth = shapes.blob(damage, damage.uniform(6, 11), damage.uniform(0.6, 1.6), 0.3)
    inside = ramp(depth, -0.8, 0.8)
    grains = np.clip(0.5 + 0.22 * damage.standard_normal((SIZE, SIZE)), 0, 1)
    floor = tint(grains, (0.36, 0.36, 0.37), (0.5, 0.5, 0.51))
    down, right = np.gradient(depth)
    edge = np.exp(-((depth / 1.4) ** 2)) * (0.8 * down + 0.6 * right)
    return blend(scene, floor, damage.uniform(0.4, 0.8) * inside) + 0.09 * rgb(edge)
