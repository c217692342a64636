"""Decode an image and its masks completely and describe them."""

import hashlib
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from datasets_lib.images.decode import FORMATS, read_file, to_mask, to_rgb
from datasets_lib.images.sixteen_bit import sixteen_bit_layout
from datasets_lib.layouts.category import DatasetError, Sample


@dataclass(frozen=True)
class Inspected:
    """Facts about one image.

    Attributes:
        file_sha256: Hash of the file; empty if it cannot be read.
        pixels_sha256: Hash of size and 8-bit RGB pixels; empty if it cannot be decoded.
        size: Width and height in pixels.
        gray: Whether the file holds one color channel.
        sixteen_bit: Whether a channel of the file has 16 bits.
        empty_mask: Whether it has masks, none of which marks a pixel.
        error: Why it or a mask of it cannot be used; empty if they can.
    """

    file_sha256: str = ""
    pixels_sha256: str = ""
    size: tuple[int, int] = (0, 0)
    gray: bool = False
    sixteen_bit: bool = False
    empty_mask: bool = False
    error: str = ""


def inspect(sample: Sample) -> Inspected:
    """Decode an image and its masks; errors become part of the result."""
    try:
        data = read_file(sample.image)
    except DatasetError as error:
        return Inspected(error=str(error))
    file_sha256 = hashlib.sha256(data).hexdigest()
    try:
        image = to_rgb(data, sample.image)
    except DatasetError as error:
        return Inspected(file_sha256, error=str(error))
    gray, sixteen_bit = _stored(data)
    try:
        empty = bool(sample.masks) and not any(
            np.asarray(to_mask(read_file(mask), mask, image.size)).any() for mask in sample.masks
        )
        error_text = ""
    except DatasetError as error:
        empty, error_text = False, str(error)
    return Inspected(
        file_sha256,
        hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest(),
        image.size,
        gray,
        sixteen_bit,
        empty,
        error_text,
    )


def _stored(data: bytes) -> tuple[bool, bool]:
    """Return whether a file is gray and whether it has 16 bits, from its header."""
    with Image.open(BytesIO(data), formats=FORMATS) as image:
        gray = image.mode in {"1", "L", "LA"} or image.mode.startswith(("I", "F"))
        return gray, image.mode.startswith("I;16") or sixteen_bit_layout(image) is not None
