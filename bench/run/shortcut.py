"""How well the size of the image files alone separates defective from normal images.

Where parts were cropped or photographed differently, a score may be good without looking at a
single pixel. A test set with such a shortcut can compare models, but not measure them.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from bench.metrics.delong import auroc_interval
from datasets_lib.images.geometry import picture_size

_WORTH_SAYING = 0.6
"""Minimum image AUROC to note a shortcut, if its interval also lies above one half."""


def size_shortcut(train: Sequence[Path], test: Sequence[Path], labels: Tensor) -> str:
    """Return a note on width or height as a score, the stronger one; empty where neither is.

    The score is the distance from the median of the normal training images.

    Args:
        train: Files of the training images.
        test: Files of the test images.
        labels: ``(N,)`` booleans of the test images, true where defective.
    """
    known, seen = _sizes(tuple(train)), _sizes(tuple(test))
    if known is None or seen is None or not len(known):
        return ""
    distances = (seen - known.median(0).values).abs()
    found = [_auroc(distances[:, axis], labels.cpu()) for axis in range(2)]
    value, name = max(zip(found, ("width", "height"), strict=True))
    if value < _WORTH_SAYING:
        return ""
    return (
        f"the {name} of the image files alone has an image AUROC of {100 * value:.1f} here, as its "
        "distance from the training images' median: the set compares models, and measures none"
    )


def _auroc(scores: Tensor, labels: Tensor) -> float:
    """Return an AUROC, or 0 where it may be due to chance."""
    interval = auroc_interval(scores, labels)
    return interval.value if not math.isnan(interval.low) and interval.low > 0.5 else 0.0


@lru_cache(maxsize=8)
def _sizes(files: tuple[Path, ...]) -> Tensor | None:
    """Return ``(N, 2)`` widths and heights, read from the headers alone; None if one is gone."""
    from PIL import Image

    try:
        sizes = [picture_size(file) for file in files]
    except (OSError, Image.DecompressionBombError):
        return None
    return torch.tensor(sizes, dtype=torch.float64).reshape(-1, 2)
