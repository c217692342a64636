"""Check of image sizes that a model's strides divide."""

from models.components.errors import ImageSizeError


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
