"""Near-duplicates: test images that equal a training image except for sensor noise."""

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import uniform_filter

_SIDE = 32

_SAME = 0.9
"""Minimum correlation of details of near-duplicates. Surfaces drawn at random reach 0.4 with the
nearest of 60 others, the same surfaces photographed twice 0.99 (noise of 3 gray levels).
In magnetic tile, whose tiles were photographed several times, 30 % of the test images reach it."""

_MIN_IMAGES = 8
"""Minimum number of images for a meaningful mean image."""


def thumbnail_of(image: Image.Image) -> bytes:
    """Return a gray thumbnail of an RGB image, (32, 32) bytes."""
    return image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX).tobytes()


def near_duplicates(train: list[bytes], test: list[bytes]) -> list[tuple[int, int]]:
    """Return the test images that nearly equal a training image, the most similar first.

    What all images have in common, the mean training image, is subtracted first: aligned parts look
    alike without being the same photograph.

    Args:
        train: Thumbnails of the training images.
        test: Thumbnails of the normal test images.

    Returns:
        The index of each such test image, with that of the training image it resembles most.
    """
    if len(train) < _MIN_IMAGES or not test:
        return []
    fitted, tested = _pixels(train), _pixels(test)
    mean = fitted.mean(0)
    correlation = _details(tested - mean) @ _details(fitted - mean).T
    nearest, alike = correlation.argmax(1), correlation.max(1)
    found = [index for index in np.argsort(-alike, kind="stable") if alike[index] >= _SAME]
    return [(int(index), int(nearest[index])) for index in found]


def _pixels(thumbnails: list[bytes]) -> npt.NDArray[np.float64]:
    pixels = np.stack([np.frombuffer(thumbnail, np.uint8) for thumbnail in thumbnails])
    return pixels.reshape(-1, _SIDE, _SIDE).astype(np.float64)


def _details(images: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return images minus blurred copies, as unit vectors: shared lighting is no similarity."""
    rows = (images - uniform_filter(images, (0, 5, 5))).reshape(len(images), -1)
    rows -= rows.mean(1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)  # type: ignore[no-any-return]
