"""One image of `surface` and its mask, from its own seed."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, binary_fill_holes, label

from datasets_lib.surface import (
    CATEGORIES,
    COUNTS,
    SIZE,
    brushed,
    grained,
    printed,
    woven,
)
from datasets_lib.surface.camera import Camera
from datasets_lib.surface.fields import Field

VISIBLE = 8
"""Minimum change of a channel, in gray levels, for a pixel to count as defective."""

Draw = Callable[[np.random.Generator, str | None, np.random.Generator], Field]
_DRAW: Mapping[str, Draw] = MappingProxyType(
    {
        "woven": woven.draw,
        "brushed": brushed.draw,
        "grained": grained.draw,
        "printed": printed.draw,
    }
)
_STREAM = 3_141_592  # separates these seeds from small seeds elsewhere


def render(
    category: str, split: str, kind: str, index: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Render one image and its mask.

    A defective piece and the same piece without its defect are photographed with the same light and
    noise. The mask covers the pixels that differ by at least `VISIBLE` levels, with gaps and holes
    closed; outside of it, the image shows the flawless piece, so the mask is exact to the pixel.

    Args:
        category: One of `CATEGORIES`.
        split: ``train`` or ``test``.
        kind: ``good`` or one of `KINDS`.
        index: Number of the image in its folder, at least 0.

    Returns:
        The image, uint8 ``(SIZE, SIZE, 3)``, and its mask, bool ``(SIZE, SIZE)``.

    Raises:
        ValueError: The folder does not exist.
    """
    flawless = render_flawless(category, split, kind, index)
    if kind == "good":
        return flawless, np.zeros((SIZE, SIZE), dtype=np.bool_)
    defective = _photograph(category, split, kind, index, kind)
    mask = _visible(np.abs(defective.astype(np.int16) - flawless).max(axis=2) >= VISIBLE)
    return np.where(mask[..., None], defective, flawless), mask


def render_flawless(category: str, split: str, kind: str, index: int) -> NDArray[np.uint8]:
    """Render the piece of `render` before its defect, uint8 ``(SIZE, SIZE, 3)``."""
    if category not in CATEGORIES or f"{split}/{kind}" not in COUNTS or index < 0:
        raise ValueError(
            f"surface has no image {category}/{split}/{kind}/{index}: the categories are "
            f"{', '.join(CATEGORIES)}, the folders {', '.join(COUNTS)}"
        )
    return _photograph(category, split, kind, index, None)


def _photograph(
    category: str, split: str, kind: str, index: int, defect: str | None
) -> NDArray[np.uint8]:
    place = (CATEGORIES.index(category), list(COUNTS).index(f"{split}/{kind}"), index)
    surface, camera, damage = np.random.SeedSequence([_STREAM, *place]).spawn(3)
    scene = _DRAW[category](np.random.default_rng(surface), defect, np.random.default_rng(damage))
    return Camera(np.random.default_rng(camera)).take(scene)


def _visible(changed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Close gaps of up to four pixels, fill holes, then drop specks of fewer than six."""
    # Padded, so that the erosion of the closing does not remove the border.
    closed = binary_closing(np.pad(changed, 4), np.ones((5, 5)))[4:-4, 4:-4]
    parts, _ = label(binary_fill_holes(closed), np.ones((3, 3)))
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    result: NDArray[np.bool_] = (sizes >= 6)[parts]
    return result
