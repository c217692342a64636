"""Planed wood: growth rings and pores along the columns."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d

from datasets_lib.surface import SIZE, shapes
from datasets_lib.surface.fields import Field, blend, grid, ramp, rgb, smooth, streaks, tint, turned

RINGS = 512
EARLY, LATE = (0.74, 0.57, 0.39), (0.52, 0.35, 0.21)
PORE = (0.30, 0.19, 0.11)


@dataclass(frozen=True)
class Plank:
    """The properties of one plank.

    Attributes:
        across: Position across the rings, in rings.
        dark: Darkness of each ring's late wood, ``(RINGS,)``.
        width: Part of each ring that is late wood, ``(RINGS,)``.
        fibers: Fine brightness along the grain.
        pores: Coverage by pores, 0 to 1.
        tone: Color of the plank, relative to `EARLY` and `LATE`.
    """

    across: Field
    dark: Field
    width: Field
    fibers: Field
    pores: Field
    tone: Field


def draw(rng: np.random.Generator, kind: str | None, damage: np.random.Generator) -> Field:
    """Draw the reflectance of one piece, ``(SIZE, SIZE, 3)``."""
    plank = _plank(rng)
    scene = _planed(plank, plank.across, plank.fibers, plank.pores)
    if kind == "scratch":
        return _scratched(scene, damage)
    if kind == "stain":
        return _stained(scene, damage)
    if kind == "crack":
        return _split(scene, damage)
    if kind == "missing_part":
        return _splintered(scene, plank, damage)
    if kind == "misplacement":
        return _patched(scene, plank, damage)
    return scene


def _plank(rng: np.random.Generator) -> Plank:
    _, columns = turned(rng.normal(0, 0.04))
    spacing = 17 * np.exp(rng.normal(0, 0.12))
    wander = 0.55 * smooth(rng, 2, 3) + 0.05 * smooth(rng, 6, 24)
    pores = (rng.random((SIZE, SIZE)) < 0.006).astype(np.float64)
    length = int(rng.integers(7, 12))
    return Plank(
        across=columns / spacing + RINGS / 2 + rng.uniform(0, 1) + wander,
        dark=rng.uniform(0.45, 1.0, RINGS),
        width=rng.uniform(0.35, 0.7, RINGS),
        fibers=0.6 * streaks(rng, 16).T + 0.6 * streaks(rng, 60).T,
        # A box filter times its length stretches each random dot along the grain.
        pores=np.minimum(uniform_filter1d(pores, length, axis=0) * length, 1.0),
        tone=np.exp(rng.normal(0, 0.05) + rng.normal(0, 0.025) * np.array([1.0, 0.0, -1.0])),
    )


def _planed(plank: Plank, across: Field, fibers: Field, pores: Field) -> Field:
    """Draw planed wood, whose late wood darkens slowly through a ring and ends sharply."""
    # The position across the grain, in rings: its integer part is the ring.
    ring = np.floor(across).astype(np.int64)
    part = across - ring
    start = 0.94 - plank.width[ring % RINGS]
    late = plank.dark[ring % RINGS] * ramp(part, start, 0.92) * ramp(part, 1.0, 0.93)
    wood = tint(0.85 * late, EARLY, LATE) * rgb(1 + 0.035 * fibers)
    return blend(wood, PORE, (0.3 + 0.3 * late) * pores) * plank.tone


def _scratched(scene: Field, damage: np.random.Generator) -> Field:
    """Draw a groove across the grain: pale torn fibers next to a thin shadow."""
    angle = damage.choice([-1, 1]) * damage.uniform(0.0, 0.9)
    groove = shapes.stroke(
        shapes.path(damage, damage.uniform(50, 110), angle, damage.normal(0, 0.4), 0.04)
    )
    torn = groove.line(damage.uniform(1.8, 3.0)) * np.clip(0.8 + 0.3 * smooth(damage, 64), 0.2, 1)
    strength = damage.uniform(0.4, 0.7)
    scene = blend(scene, (0.82, 0.68, 0.50), strength * torn * (groove.side > 0))
    return blend(scene, (0.30, 0.20, 0.13), strength * torn * (groove.side <= 0))


def _stained(scene: Field, damage: np.random.Generator) -> Field:
    """Draw a water stain with tannin at its rim: gray inside, darker at the edge."""
    depth = shapes.blob(damage, damage.uniform(13, 24), damage.uniform(1.0, 1.6))
    depth = depth + 1.5 * smooth(damage, 10, 30)
    wet, rim = ramp(depth, -1.5, 3), np.exp(-(((depth - 1) / 2) ** 2))
    loss = damage.uniform(0.07, 0.18) * (wet + 0.7 * rim)
    stained: Field = scene * (1 - rgb(loss) * np.array([1.15, 1.0, 0.75]))
    return stained


def _split(scene: Field, damage: np.random.Generator) -> Field:
    """Draw a drying check, which opens along the grain, widest in its middle."""
    angle = np.pi / 2 + damage.normal(0, 0.06)
    check = shapes.stroke(shapes.path(damage, damage.uniform(70, 130), angle, 0.0, 0.18, pieces=16))
    gap = check.line(damage.uniform(3.0, 5.0), taper=0.5)
    lit = check.line(8, taper=0.5, soft=1.5) * (check.side > 0)
    scene = blend(scene, (0.80, 0.64, 0.46), 0.3 * lit)
    return blend(scene, (0.16, 0.10, 0.07), damage.uniform(0.75, 0.95) * gap)


def _splintered(scene: Field, plank: Plank, damage: np.random.Generator) -> Field:
    """Draw a torn-out splinter: pale rough wood below, one edge in shadow."""
    rough = 2.0 * streaks(damage, 20).T
    depth = shapes.blob(damage, damage.uniform(11, 17), damage.uniform(2.0, 3.5), 0.15) + rough
    torn = ramp(depth, -0.8, 0.8)
    floor = tint(
        np.clip(0.5 + 0.3 * streaks(damage, 24).T, 0, 1), (0.66, 0.52, 0.36), (0.90, 0.76, 0.58)
    )
    shadow = np.exp(-((depth / 1.8) ** 2)) * ramp(np.gradient(depth, axis=1), -0.2, 0.6)
    scene = blend(scene, floor * plank.tone, 0.85 * torn)
    return blend(scene, PORE, 0.7 * shadow)


def _patched(scene: Field, plank: Plank, damage: np.random.Generator) -> Field:
    """Draw a tilted veneer patch whose rings do not meet those around it."""
    depth = shapes.blob(damage, damage.uniform(15, 23), damage.uniform(1.0, 2.2), 0.05)
    rows, columns = grid()
    askew = damage.choice([-1, 1]) * damage.uniform(0.2, 0.6)
    spacing = damage.uniform(13, 20)
    # The position across the grain of the patch, rotated relative to the plank.
    other = (np.cos(askew) * columns - np.sin(askew) * rows) / spacing + RINGS / 2
    wood = _planed(plank, other + 0.1 * smooth(damage, 8), plank.fibers, plank.pores) * 0.94
    joint = np.exp(-((depth / 1.0) ** 2))
    return blend(blend(scene, wood, ramp(depth, -0.7, 0.7)), PORE, 0.2 * joint)
