"""From the bytes of an image file to what the model takes, and back; imports no torch."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.checkpoint.metadata import Preprocessing
from datasets_lib.images.decode import UInt8, resize_image, to_rgb
from datasets_lib.images.geometry import Geometry

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Decoded:
    """An image as the model takes it.

    Attributes:
        size: Width and height of the whole image in pixels.
        pixels: ``(H, W, 3)`` uint8 RGB, resized and cropped.
    """

    size: tuple[int, int]
    pixels: UInt8


def decode(data: bytes, path: Path, own: Preprocessing) -> Decoded:
    """Return an image as the model takes it, by the code that read the training images.

    Args:
        data: Contents of the file.
        path: Its path, for messages.
        own: The checkpoint's preprocessing.

    Raises:
        DatasetError: The contents are damaged or not an image.
    """
    image = to_rgb(data, path, own.bits)
    top, left, height, width = seen(own)
    pixels = resize_image(image, _frame(own))[top : top + height, left : left + width]
    return Decoded(image.size, np.ascontiguousarray(pixels))


def over_whole_image(values: Floats, own: Preprocessing, size: tuple[int, int]) -> Floats:
    """Return a map as it lies over the whole image, at about its own resolution.

    Padding is left out; what the model did not see has the lowest value.

    Args:
        values: ``(h, w)`` map of what the model sees.
        own: The checkpoint's preprocessing.
        size: Width and height of the image in pixels.
    """
    top, left, height, width = seen(own)
    window = _frame(own).window(*size)
    whole = np.full((window.height, window.width), values.min(), np.float32)
    y, x = top - window.top, left - window.left  # of the part that the model sees, within the whole
    rows = slice(max(y, 0), min(y + height, window.height))
    columns = slice(max(x, 0), min(x + width, window.width))
    whole[rows, columns] = values[
        rows.start - y : rows.stop - y, columns.start - x : columns.stop - x
    ]
    return whole


def on_image(values: Floats, own: Preprocessing, size: tuple[int, int]) -> Floats:
    """Return a map at the size of the whole image, bilinear; see `over_whole_image`."""
    whole = Image.fromarray(over_whole_image(values, own, size))
    return np.asarray(whole.resize(size, Image.Resampling.BILINEAR))


def _frame(own: Preprocessing) -> Geometry:
    return Geometry(own.height, own.width, own.fit)


def seen(own: Preprocessing) -> tuple[int, int, int, int]:
    """Return top, left, height and width of the part of the frame that the model sees."""
    height, width = own.crop or (own.height, own.width)
    return (own.height - height) // 2, (own.width - width) // 2, height, width
