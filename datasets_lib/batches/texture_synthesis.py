"""Procedural textures for machines without a texture dataset: noise, stripes, lattices, cells.

Each is a scalar field, bent by smooth noise, shaped by a random curve, colored by a random palette
and grained. The textures share no code with `surface`, so that they can serve as its defects.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from datasets_lib.images.decode import UInt8

if TYPE_CHECKING:
    from collections.abc import Callable

Field = NDArray[np.float32]
_STREAM = 2_718_281  # separates these seeds from small seeds elsewhere


def synthesize_textures(count: int, size: int) -> UInt8:
    """Return textures 0 to ``count`` - 1, uint8 RGB (count, size, size, 3), all kinds in turn.

    A texture depends on its number and on the size only.

    >>> synthesize_textures(2, 16).shape
    (2, 16, 16, 3)
    """
    with ThreadPoolExecutor() as pool:
        textures = list(pool.map(lambda index: _texture(index, size), range(count)))
    return np.stack(textures) if textures else np.empty((0, size, size, 3), np.uint8)


def _texture(index: int, size: int) -> UInt8:
    rng = np.random.default_rng([_STREAM, index])
    kind = _KINDS[index % len(_KINDS)]
    field = _shaped(rng, _unit(kind(rng, size)))
    colors = _colored(rng, _evened(field, rng.uniform(0.0, 0.8)))
    if rng.random() < 0.5:  # light and dye vary over most real surfaces
        colors = colors * (1 + rng.uniform(0.05, 0.25) * _smooth(rng, size, 1.8)[..., None])
    channels = 1 if rng.random() < 0.7 else 3
    grain = rng.uniform(0.0, 0.06) * rng.standard_normal((size, size, channels), np.float32)
    return (np.clip(colors + grain, 0, 1) * 255 + 0.5).astype(np.uint8)


def _clouds(rng: np.random.Generator, size: int) -> Field:
    """Draw noise of a power-law spectrum, often stretched: clouds, plaster, brushed fibers."""
    return _filtered(rng, size, lambda radius: radius ** -rng.uniform(0.7, 2.2))


def _blotches(rng: np.random.Generator, size: int) -> Field:
    """Draw noise of one wavelength: spots of leopards, stripes of zebras, labyrinths."""
    waves, width = np.exp(rng.uniform(np.log(4), np.log(28))), rng.uniform(0.1, 0.4)
    return _filtered(rng, size, lambda r: np.exp(-(((r - waves) / (width * waves)) ** 2)))


def _stripes(rng: np.random.Generator, size: int) -> Field:
    """Draw bent stripes or wood rings."""
    y, x = _bent(rng, size, rng.uniform(0.0, 0.08))
    waves = np.exp(rng.uniform(np.log(3), np.log(24)))
    angle = rng.uniform(0, np.pi)
    along = np.cos(angle) * y + np.sin(angle) * x
    rings = np.hypot(y - rng.uniform(-1, 1), x - rng.uniform(-1, 1))
    phase = (rings if rng.random() < 0.3 else along) * waves * 2 * np.pi
    wave: Field = np.sin(phase) + rng.uniform(0, 0.6) * np.sin(2.7 * phase + 1)
    return wave


def _lattice(rng: np.random.Generator, size: int) -> Field:
    """Draw two crossing waves, smooth or hard: checks, nets, dots, weaves."""
    y, x = _bent(rng, size, rng.uniform(0.0, 0.03))
    waves, angle = np.exp(rng.uniform(np.log(4), np.log(20))), rng.uniform(0, np.pi)
    skew = rng.uniform(np.pi / 4, 3 * np.pi / 4)
    first = np.sin(2 * np.pi * waves * (np.cos(angle) * y + np.sin(angle) * x))
    turned = angle + skew
    second = np.sin(2 * np.pi * waves * (np.cos(turned) * y + np.sin(turned) * x))
    hardness = np.exp(rng.uniform(0, 2.5))
    first, second = np.tanh(hardness * first), np.tanh(hardness * second)
    crossings = first * second, first + second, np.maximum(first, second)
    crossed: Field = crossings[rng.integers(3)]
    return crossed


def _cells(rng: np.random.Generator, size: int) -> Field:
    """Draw distances to the nearest of scattered points: stones, scales, glaze, bubbles."""
    from scipy.spatial import cKDTree

    count = int(np.exp(rng.uniform(np.log(20), np.log(400))))
    points = rng.random((count, 2))
    bent = np.stack(_bent(rng, size, rng.uniform(0.0, 0.03)), axis=-1).reshape(-1, 2)
    # A torus without borders; 2 % of error in a distance is not visible.
    near, which = cKDTree(points, boxsize=1.0).query(bent % 1.0, k=2, eps=0.02)
    gap = (near[:, 1] - near[:, 0]) * np.sqrt(count)
    if rng.random() < 0.5:
        cells = np.minimum(gap * rng.uniform(3, 9), 1) + rng.uniform(0.3, 1.5, count)[which[:, 0]]
    else:
        cells = near[:, 0] * np.sqrt(count) if rng.random() < 0.5 else gap
    field: Field = cells.reshape(size, size).astype(np.float32)
    return field


_KINDS = (_clouds, _cells, _blotches, _lattice, _stripes)


def _filtered(
    rng: np.random.Generator, size: int, response: "Callable[[Field], Field]", stretch: float = 1.4
) -> Field:
    """Filter white noise by a response to the number of waves per image, rotated and stretched."""
    from scipy.fft import irfft2

    y = np.fft.fftfreq(size, 1 / size)[:, None]
    x = np.fft.rfftfreq(size, 1 / size)[None]
    angle, ratio = rng.uniform(0, np.pi), np.exp(rng.uniform(0, stretch))
    along, across = np.cos(angle) * y + np.sin(angle) * x, np.cos(angle) * x - np.sin(angle) * y
    radius = np.hypot(along * ratio, across / ratio).astype(np.float32)
    # No constant part: a negative power of the radius vanishes there.
    radius[0, 0] = np.inf
    noise = rng.standard_normal((2, *radius.shape), np.float32)
    # Complex white noise has random phases; the response sets the amplitudes.
    field: Field = irfft2((noise[0] + 1j * noise[1]) * response(radius), (size, size))
    return field


def _smooth(rng: np.random.Generator, size: int, slope: float) -> Field:
    return _unit(_filtered(rng, size, lambda radius: radius**-slope, stretch=0.3))


def _bent(rng: np.random.Generator, size: int, strength: float) -> tuple[Field, Field]:
    """Return row and column of every pixel in [0, 1), displaced smoothly."""
    y, x = (np.mgrid[:size, :size].astype(np.float32) + 0.5) / size
    return y + strength * _smooth(rng, size, 2.5), x + strength * _smooth(rng, size, 2.5)


def _shaped(rng: np.random.Generator, field: Field) -> Field:
    """Keep a field, fold it into ridges, cut it at a level, or wrap it into bands."""
    match rng.integers(5):
        case 0:
            shaped = np.abs(field)
        case 1:
            shaped = np.tanh(rng.uniform(2, 12) * (field - rng.normal(0, 0.5)))
        case 2:
            shaped = np.sin(field * rng.uniform(2, 6))
        case _:
            shaped = field
    return _unit(shaped)


def _evened(field: Field, share: float) -> Field:
    """Map a field to [0, 1] by a mix of range and rank; ranks use a palette evenly."""
    levels = np.linspace(0, 1, 65)
    knots = np.quantile(field.ravel()[::7], levels)  # a seventh of the pixels suffices
    low, high = knots[1], knots[-2]
    ranged = np.clip((knots - low) / max(high - low, 1e-6), 0, 1)
    places = share * levels + (1 - share) * ranged
    evened: Field = np.interp(field, knots, places).astype(np.float32)
    return evened


def _colored(rng: np.random.Generator, field: Field) -> Field:
    """Color a field, (size, size, 3), by a palette spread around one base color."""
    stops = int(rng.integers(2, 6))
    gray, saturation = rng.uniform(0.2, 0.8), rng.uniform() ** 1.5
    base = gray + saturation * (rng.uniform(0.1, 0.9, 3) - gray)
    spread = rng.uniform(0.03, 0.3)
    lightness = rng.permutation(np.linspace(-1, 1, stops)) * rng.uniform(0.15, 0.45)
    palette = np.clip(base + spread * rng.normal(0, 1, (stops, 3)) + lightness[:, None], 0, 1)
    places = np.linspace(0, 1, stops)
    channels = [np.interp(field, places, palette[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def _unit(field: Field) -> Field:
    """Shift and scale a field to mean 0 and variance 1."""
    unit: Field = (field - field.mean()) / max(float(field.std()), 1e-6)
    return unit
