"""Cloth in plain weave: warp threads run down, weft threads across."""

from dataclasses import dataclass

import numpy as np

from datasets_lib.surface import SIZE, shapes
from datasets_lib.surface.fields import Field, blend, grid, ramp, rgb, smooth, streaks, tint, turned

PERIOD = 9.0
THREADS = 96
GROUND = (0.13, 0.14, 0.17)
"""Color of the ground seen through a hole."""


@dataclass(frozen=True)
class Cloth:
    """The properties of one piece of cloth.

    Attributes:
        u: Position across the warp, in threads; its floor is the thread's number.
        v: Position across the weft, in threads.
        warp: Brightness of each warp thread, ``(THREADS,)``.
        weft: Brightness of each weft thread, ``(THREADS,)``.
        fibers: Brightness along warp and weft threads.
        dye: Lightness of the dyed yarn, 0 to 1.
    """

    u: Field
    v: Field
    warp: Field
    weft: Field
    fibers: tuple[Field, Field]
    dye: float


def draw(rng: np.random.Generator, kind: str | None, damage: np.random.Generator) -> Field:
    """Draw the reflectance of one piece, ``(SIZE, SIZE, 3)``."""
    cloth = _cloth(rng)
    if kind == "misplacement":
        return _weave(cloth, *_misplaced(cloth, damage))
    if kind == "missing_part":
        return _weave(cloth, cloth.u, cloth.v, missing=_missing(cloth, damage))
    if kind == "crack":
        return _torn(cloth, damage)
    scene = _weave(cloth, cloth.u, cloth.v)
    if kind == "scratch":
        return _abraded(scene, damage)
    if kind == "stain":
        return _stained(scene, damage)
    return scene


def _cloth(rng: np.random.Generator) -> Cloth:
    rows, columns = turned(rng.normal(0, 0.02))
    period = PERIOD * np.exp(rng.normal(0, 0.03))
    shift = THREADS / 2 + rng.uniform(0, 2, 2)
    return Cloth(
        u=columns / period + shift[0] + 0.16 * smooth(rng, 3),
        v=rows / period + shift[1] + 0.16 * smooth(rng, 3),
        warp=1 + 0.06 * rng.standard_normal(THREADS),
        weft=1 + 0.06 * rng.standard_normal(THREADS),
        fibers=(streaks(rng, 12).T, streaks(rng, 12)),
        dye=rng.uniform(0.3, 0.7),
    )


def _weave(cloth: Cloth, u: Field, v: Field, missing: Field | None = None) -> Field:
    """Draw the upper thread at every crossing and the ground between the threads."""
    i, j = np.floor(u), np.floor(v)
    x, y = u - i - 0.5, v - j - 0.5
    warp_on_top = (i + j) % 2 == 0
    across, along = np.where(warp_on_top, x, y), np.where(warp_on_top, y, x)
    bare = np.zeros((SIZE, SIZE)) if missing is None else missing
    # Without the weft, the warp lies straight and deeper and is visible at both crossings.
    across = across + bare * (x - across)
    crown = 1 - 1.5 * along**2 * (1 - bare)
    thread = np.where(
        warp_on_top | (bare > 0.5),
        cloth.warp[i.astype(np.int64) % THREADS] * (1 + 0.06 * cloth.fibers[0]),
        cloth.weft[j.astype(np.int64) % THREADS] * (1 + 0.06 * cloth.fibers[1]) * 1.08,
    )
    shade = np.clip((1 - 2.2 * across**2) * crown * thread * (1 - 0.4 * bare), 0, 1.4)
    gap = ramp(np.abs(across), 0.38, 0.5)
    yarn = tint(np.full((SIZE, SIZE), cloth.dye), (0.42, 0.46, 0.56), (0.56, 0.60, 0.68))
    return blend(yarn * rgb(shade), GROUND, 0.75 * gap)


def _misplaced(cloth: Cloth, damage: np.random.Generator) -> tuple[Field, Field]:
    """Push threads aside: a smooth bump in the position of warp or weft."""
    rows, columns = grid()
    row, column = shapes.center(damage, 48)
    wide, tall = damage.uniform(9, 14), damage.uniform(22, 40)
    push = damage.choice([-1, 1]) * damage.uniform(0.9, 1.4)
    if damage.random() < 0.5:
        bump = np.exp(-(((columns - column) / wide) ** 2) - ((rows - row) / tall) ** 2)
        return cloth.u + push * bump, cloth.v
    bump = np.exp(-(((columns - column) / tall) ** 2) - ((rows - row) / wide) ** 2)
    return cloth.u, cloth.v + push * bump


def _missing(cloth: Cloth, damage: np.random.Generator) -> Field:
    """Return where one weft thread is missing, 0 or 1."""
    row, column = (shapes.center(damage, 56) + SIZE / 2).astype(np.int64)
    lost = np.floor(cloth.v[row, column])
    half = damage.uniform(30, 60)
    span = np.abs(grid()[1] - (column - SIZE / 2)) < half
    missing: Field = ((np.floor(cloth.v) == lost) & span).astype(np.float64)
    return missing


def _torn(cloth: Cloth, damage: np.random.Generator) -> Field:
    """Draw a tear: threads pulled back from a jagged opening with frayed edges."""
    tear = shapes.stroke(
        shapes.path(damage, damage.uniform(36, 64), damage.uniform(0, np.pi), 0.3, 0.35)
    )
    width = damage.uniform(3.0, 5.5)
    fray = 1 + 0.35 * smooth(damage, 64)
    opening = tear.line(width, taper=0.5) * np.clip(fray, 0.3, 1.0)
    pull = 0.3 * np.exp(-tear.distance / 5) * ramp(np.minimum(tear.along, 1 - tear.along), 0, 0.3)
    scene = _weave(cloth, cloth.u + pull * np.sign(tear.side), cloth.v)
    return blend(scene, GROUND, opening)


def _abraded(scene: Field, damage: np.random.Generator) -> Field:
    """Draw a rubbed line, where broken fibers scatter light and hide the weave."""
    line = shapes.stroke(
        shapes.path(
            damage, damage.uniform(70, 130), damage.uniform(0, np.pi), damage.normal(0, 0.4), 0.05
        )
    )
    rubbed = line.line(damage.uniform(3.5, 6.0), soft=1.2) * np.clip(
        0.75 + 0.35 * smooth(damage, 48), 0, 1
    )
    return blend(scene, (0.66, 0.69, 0.74), damage.uniform(0.6, 0.9) * rubbed)


def _stained(scene: Field, damage: np.random.Generator) -> Field:
    """Draw soaked-in oil, darker and yellower, with a faint rim."""
    depth = shapes.blob(damage, damage.uniform(12, 22)) + 1.5 * smooth(damage, 24)
    soaked = ramp(depth, -2, 3)
    rim = np.exp(-((depth / 2.5) ** 2))
    strength = damage.uniform(0.2, 0.34)
    loss = strength * (soaked + 0.5 * rim)
    stained: Field = scene * (1 - rgb(loss) * np.array([0.75, 0.9, 1.3]))
    return stained
