"""Decode image files of common formats to uint8 RGB and mask files to bool.

Pixels are used as stored: alpha is dropped, and orientation and color profiles are not applied
(masks carry neither). Of several frames the first is used. 16-bit values become ``round(v / 257)``,
so that 65535 is 255 and no contrast is stretched, unless the camera is declared to fill fewer bits:
with 12 bits 4095 is 255. Images are resized with `INTERPOLATION`; `datasets_lib.images.geometry`
says to what size, and what happens to their aspect ratio.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from datasets_lib.images.foreign import kind_of
from datasets_lib.images.geometry import Size, as_geometry
from datasets_lib.images.orientation import load_as_stored
from datasets_lib.images.sixteen_bit import sixteen_bit, sixteen_bit_layout
from datasets_lib.layouts.category import DatasetError

INTERPOLATION = "bilinear, antialiased, on uint8; masks nearest"

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")

_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"

UInt8 = npt.NDArray[np.uint8]

_TURNED = (
    "It may have been drawn in a viewer that applies the image's EXIF orientation: pixels are used "
    "as stored, so save the image upright, without an orientation."
)

_opening = threading.Lock()
_counting = threading.Lock()
_decoded = 0


def decoded_files() -> int:
    """Return the number of image and mask files that this process has decoded."""
    return _decoded


def set_pixel_limit(megapixels: int | None) -> None:
    """Allow images of up to this many megapixels in this process; None leaves Pillow's limit."""
    if megapixels is not None:
        Image.MAX_IMAGE_PIXELS = megapixels * 1_000_000


@contextmanager
def kept_pixel_limit() -> Iterator[None]:
    """Restore the limit of images' pixels when the block ends."""
    before = Image.MAX_IMAGE_PIXELS
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def read_file(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        DatasetError: The file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"The file {path} cannot be read: {error.strerror}. Check that it exists and that "
            "you have permission to read it."
        ) from error


def to_rgb(data: bytes, path: Path, bits: int = 16) -> Image.Image:
    """Decode file contents to an 8-bit RGB image at full size.

    Args:
        data: Contents of the file.
        path: Its path, for messages.
        bits: Number of bits that a camera fills in files of 16 bits per channel.

    Raises:
        DatasetError: The contents are damaged, or have no declared 8- or 16-bit range.
    """
    pixels = _decode(data, path)
    if isinstance(pixels, Image.Image):
        return pixels
    if pixels.dtype != np.uint16:
        raise DatasetError(
            f"The image {path} holds {pixels.dtype} values, whose range is not declared: wanted "
            "8 or 16 bits per channel. Convert it to 8- or 16-bit PNG."
        )
    top = 2**bits - 1
    if bits < 16 and (highest := int(pixels.max())) > top:
        raise DatasetError(
            f"The image {path} holds the value {highest:,}, more than the {top:,} of --bits "
            f"{bits}: wanted at least --bits {highest.bit_length()}, or no --bits for all 16."
        )
    # Rounds 255 v / top to the nearest integer; top is odd, so no value lies half-way.
    eight = ((510 * pixels.astype(np.uint32) + top) // (2 * top)).astype(np.uint8)
    gray = eight.shape[2] < 3
    return Image.fromarray(np.repeat(eight[:, :, :1], 3, axis=2) if gray else eight[:, :, :3])


def resize_image(image: Image.Image, size: Size) -> UInt8:
    """Resize an RGB image to an array (H, W, 3)."""
    return as_geometry(size).image(image)


def to_mask(data: bytes, path: Path, image_size: tuple[int, int]) -> Image.Image:
    """Decode mask contents to an 8-bit gray image, 255 where any channel is above zero."""
    pixels = np.asarray(_decode(data, path))
    height, width = pixels.shape[:2]
    if (width, height) != tuple(image_size):
        turned = " " + _TURNED if (height, width) == tuple(image_size) else ""
        raise DatasetError(
            f"The mask {path} is {width}×{height} pixels, its image is {image_size[0]}×"
            f"{image_size[1]}: wanted the same size.{turned} Replace the mask by one drawn on this "
            "image."
        )
    defect = pixels[:, :, 0] > 0
    if pixels.shape[2] >= 3:
        # Channel by channel: 1 ms for a mask of 900×900 pixels, against 9 ms for any(axis=2).
        defect |= pixels[:, :, 1] > 0
        defect |= pixels[:, :, 2] > 0
    return Image.fromarray(defect.view(np.uint8) * np.uint8(255))


def brightest_value(data: bytes, path: Path) -> int | None:
    """Return the highest value of a 16-bit image; None for other images."""
    pixels = _decode(data, path)
    is_sixteen_bit = not isinstance(pixels, Image.Image) and pixels.dtype == np.uint16
    return int(np.asarray(pixels).max()) if is_sixteen_bit else None


def marks_defect(path: Path) -> bool:
    """Return whether a mask file has a value above zero in any channel.

    Raises:
        DatasetError: The file cannot be read or is damaged.
    """
    return bool(np.asarray(_decode(read_file(path), path)).any())


def resize_mask(mask: Image.Image, size: Size) -> npt.NDArray[np.bool_]:
    """Resize a 0/255 gray image to bool (H, W)."""
    return as_geometry(size).mask(mask)


def _decode(data: bytes, path: Path) -> Image.Image | npt.NDArray[Any]:
    """Return an 8-bit RGB image, or an array (H, W, C) of values with more bits."""
    global _decoded
    with _counting:
        _decoded += 1
    try:
        _check_png(data)
        image = _open(data)
        if (layout := sixteen_bit_layout(image)) is not None:
            return sixteen_bit(data, layout, _open)
        image = load_as_stored(image)
        if image.mode.startswith(("I", "F")):
            return np.asarray(image)[:, :, None]
        # Pillow warns on, or keys out, transparent colors of palette images; alpha is dropped.
        image.info.pop("transparency", None)
        return image if image.mode == "RGB" else image.convert("RGB")
    except MemoryError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise DatasetError(
            f"The file {path} has more than {Image.MAX_IMAGE_PIXELS:,} pixels, the limit against "
            "decompression bombs. If you trust the file, allow more with --max-megapixels; or "
            "scale it down."
        ) from None
    except UnidentifiedImageError:
        raise DatasetError(
            f"The file {path} is {kind_of(data) or 'of an unknown format or damaged'}: wanted an "
            f"intact {', '.join(FORMATS)} file, whatever its suffix. Convert it, restore it from "
            "its source, or remove it."
        ) from None
    except Exception as error:  # decoders raise any exception on damaged files
        raise DatasetError(
            f"The file {path} cannot be decoded: {error or type(error).__name__}. Expected an "
            f"intact {', '.join(FORMATS)} file; restore it from its source or remove it."
        ) from error


def _open(data: bytes) -> Image.Image:
    # Warning filters belong to the process, so one thread at a time; only headers are read here.
    with _opening, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(BytesIO(data), formats=FORMATS)


def _check_png(data: bytes) -> None:
    """Check what Pillow ignores when it loads a PNG: checksums of pixel data and a missing end."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        _open(data).verify()
        # `verify` stops at the last chunk without checking it.
        if data.rfind(_PNG_END) < 0:
            raise ValueError("the PNG is truncated")
