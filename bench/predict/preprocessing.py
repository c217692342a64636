"""From the bytes of an image file to what the model takes, and back; imports no torch."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.checkpoint.metadata import CheckpointError, Preprocessing
from datasets_lib.images.decode import UInt8, resize_image, to_rgb


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
        DatasetError: The contents are damaged or no image.
    """
    image = to_rgb(data, path, own.bits)
    top, left, height, width = seen(own)
    pixels = resize_image(image, own.height)[top : top + height, left : left + width]
    return Decoded(image.size, np.ascontiguousarray(pixels))


def seen(own: Preprocessing) -> tuple[int, int, int, int]:
    """Return top, left, height and width of the part of the frame that the model sees."""
    if own.height != own.width or own.fit != "squash" or own.tiles:
        raise CheckpointError("Frames that are no squares, and tiles, are not supported yet.")
    height, width = own.crop or (own.height, own.width)
    return (own.height - height) // 2, (own.width - width) // 2, height, width


def on_image(
    values: npt.NDArray[np.float32], own: Preprocessing, size: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Return a map as the whole image has it, bilinear; the lowest value where none was seen.

    Args:
        values: ``(h, w)`` map of what the model sees.
        own: The checkpoint's preprocessing.
        size: Width and height of the image in pixels.
    """
    top, left, height, width = seen(own)
    frame = np.full((own.height, own.width), values.min(), np.float32)
    frame[top : top + height, left : left + width] = values
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR))
