"""Sizes of images: the side of a square, or height and width."""

from models.components.errors import ImageSizeError

ImageSize = int | tuple[int, int]
"""The side of square images in pixels, or ``(height, width)`` of others."""


def height_width(size: ImageSize) -> tuple[int, int]:
    """Return the height and width that a size means.

    >>> height_width(256), height_width((256, 640))
    ((256, 256), (256, 640))
    """
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def image_size(height: int, width: int) -> ImageSize:
    """Return the size for a height and a width: one number for a square.

    >>> image_size(256, 256), image_size(256, 640)
    (256, (256, 640))
    """
    return height if height == width else (height, width)


def size_text(size: ImageSize) -> str:
    """Return a size as options and messages write it.

    >>> size_text(256), size_text((256, 640))
    ('256', '256x640')
    """
    return str(size) if isinstance(size, int) else f"{size[0]}x{size[1]}"


def check_multiple(reason: str, height: int, width: int, multiple: int, minimum: int = 0) -> None:
    """Check that both sides of an image are multiples of a number and large enough.

    Args:
        reason: Why a model takes no other images; the message begins with it.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        multiple: Number that divides both sides.
        minimum: Smallest side; 0 for any.

    Raises:
        ImageSizeError: The image does not fit.
    """
    if height % multiple or width % multiple or min(height, width) < minimum:
        least = f", at least {minimum}" if minimum else ""
        raise ImageSizeError(
            f"{reason}: wanted each side to be a multiple of {multiple} pixels{least}, found "
            f"{height}×{width}. Choose such an image size."
        )
