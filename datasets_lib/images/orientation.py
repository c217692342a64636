"""The orientation that a file declares, which is never applied: masks match the stored pixels."""

from PIL import ExifTags, Image

UPRIGHT = 1
"""Orientation of a file that declares none."""

_INVERSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How to undo what Pillow does to a TIFF of each orientation."""


def orientation_of(image: Image.Image) -> int | None:
    """Return the EXIF or TIFF orientation, 1 to 8, of an image that is opened but not loaded.

    Returns:
        The orientation; None if its EXIF data cannot be read.
    """
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
    except Exception:  # Pillow raises any exception on damaged data
        return None
    return orientation if orientation in _INVERSE else UPRIGHT


def load_as_stored(image: Image.Image) -> Image.Image:
    """Load an opened image without applying its orientation.

    Pillow rotates TIFF files when it loads them, and no other format.
    """
    if image.format != "TIFF":
        image.load()
        return image
    orientation = orientation_of(image)  # loading removes it
    image.load()
    return image.transpose(_INVERSE[orientation]) if orientation in _INVERSE else image
