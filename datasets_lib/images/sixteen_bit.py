"""Read both bytes of 16-bit channels; Pillow silently keeps only the high byte."""

import re
import sys
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from datasets_lib.images.orientation import load_as_stored

Open = Callable[[bytes], Image.Image]

_BITS, _FIRST_COLOR, _PLANES = 258, 262, 284
"""Tags of TIFF: bits per sample, photometric interpretation, planar configuration."""


def sixteen_bit_layout(image: Image.Image) -> str | None:
    """Return Pillow's name of the file's 16-bit layout (``RGB;16B``), or None for 8 bits.

    Args:
        image: Image that is opened but not loaded.
    """
    tiles = getattr(image, "tile", None)
    args = tiles[0][3] if tiles else ""
    layout = str(args[0] if isinstance(args, tuple) else args)
    tags = getattr(image, "tag_v2", {})
    if tags.get(_PLANES) == 2 and set(tags.get(_BITS, ())) == {16}:
        return "planar;16"  # Pillow would take every byte of its planes for a pixel
    # BMP's packed 5-6-5 bits are BGR;16, with no byte order.
    return layout if re.fullmatch(r"I;16[BLN]?|\w+;16[BLN]", layout) else None


def sixteen_bit(data: bytes, layout: str, open_image: Open) -> npt.NDArray[np.uint16]:
    """Decode all 16 bits, (H, W, C).

    Pillow unpacks the high byte of each color channel. With the other byte order it unpacks the
    low byte, so two passes give both. (torchvision reads 16-bit PNG too, but a damaged file kills
    the process.)

    Raises:
        ValueError: The channels are not gray or RGB, with or without alpha.
    """
    if layout.startswith("I"):
        image = open_image(data)
        values = _pixels(image).astype(np.uint16)[:, :, None]
        # Pillow inverts 8 bits that begin at white, and not 16.
        white = getattr(image, "tag_v2", {}).get(_FIRST_COLOR) == 0
        return 65535 - values if white else values
    if layout == "LA;16B":
        return _gray_alpha(data, open_image)
    color, _, order = layout.partition(";16")
    if color not in {"RGB", "RGBA", "RGBX"}:
        raise ValueError(f"16-bit {color} pixels; convert it to 16-bit RGB PNG")
    if order == "N":
        order = {"little": "L", "big": "B"}[sys.byteorder]
    swapped = color + {"L": ";16B", "B": ";16L"}[order]
    high, low = open_image(data), open_image(data)
    _set_layout(low, swapped)
    return _join(_pixels(high), _pixels(low))


def _set_layout(image: Any, layout: str) -> None:
    def changed(tile: Any) -> Any:
        args = (layout, *tile[3][1:]) if isinstance(tile[3], tuple) else layout
        # A plain tuple before Pillow 11.
        return tile._replace(args=args) if hasattr(tile, "_replace") else (*tile[:3], args)

    image.tile = [changed(tile) for tile in image.tile]


def _gray_alpha(data: bytes, open_image: Open) -> npt.NDArray[np.uint16]:
    """Decode gray and alpha of a PNG, for which Pillow knows one byte order only.

    An 8-bit RGBA pixel is as long as a 16-bit gray-alpha pixel: with an RGBA header, the four bytes
    come out unchanged.
    """
    # A PNG: 8 bytes signature, 4 length, 4 "IHDR", 13 header (byte 24 is the bit depth, 25 the
    # color type), 4 checksum.
    header = data[12:24] + b"\x08\x06" + data[26:29]
    checksum = zlib.crc32(header).to_bytes(4, "big")
    pixels = _pixels(open_image(data[:12] + header + checksum + data[33:]))
    return _join(pixels[:, :, ::2], pixels[:, :, 1::2])


def _pixels(image: Image.Image) -> npt.NDArray[Any]:
    # Load first: np.asarray hides errors that Pillow raises while it loads.
    return np.asarray(load_as_stored(image))


def _join(high: npt.NDArray[Any], low: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    values: npt.NDArray[np.uint16] = np.left_shift(high, 8, dtype=np.uint16)
    values |= low
    return values
