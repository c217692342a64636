"""Sizes of images: the side of a square, or height and width."""

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


def same_size(one: ImageSize | None, other: ImageSize | None) -> bool:
    """Return whether two sizes mean the same height and width; None is no size.

    >>> same_size(256, (256, 256)), same_size(None, 224)
    (True, False)
    """
    if one is None or other is None:
        return one is other
    return height_width(one) == height_width(other)


def size_text(size: ImageSize) -> str:
    """Return a size as options and messages write it.

    >>> size_text(256), size_text((256, 640))
    ('256', '256x640')
    """
    return str(size) if isinstance(size, int) else f"{size[0]}x{size[1]}"
