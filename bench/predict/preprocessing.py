"""From the bytes of an image file to what the model takes; imports no torch."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bench.checkpoint.metadata import Preprocessing
from datasets_lib.images.decode import UInt8, resize_image, to_rgb


@dataclass(frozen=True, eq=False)
class Decoded:
    """An image, as it is and as the model takes it.

    Attributes:
        image: The whole image at its own size.
        pixels: ``(H, W, 3)`` uint8 RGB, resized and cropped.
    """

    image: Image.Image
    pixels: UInt8


def decode(data: bytes, path: Path, preprocessing: Preprocessing) -> Decoded:
    """Return an image as the model takes it, by the code that read the training images.

    Args:
        data: Contents of the file.
        path: Its path, for messages.
        preprocessing: What the checkpoint says.

    Raises:
        DatasetError: The contents are damaged or no image.
    """
    image = to_rgb(data, path, preprocessing.bits)
    pixels = resize_image(image, preprocessing.height)
    crop = preprocessing.crop
    if crop is not None:
        top, left = (preprocessing.height - crop) // 2, (preprocessing.width - crop) // 2
        pixels = pixels[top : top + crop, left : left + crop]
    return Decoded(image, np.ascontiguousarray(pixels))
