"""The range of values that the colors of anomaly maps span."""

import torch
from torch import Tensor

from bench.metrics.thresholds import calibrated_threshold

_MEDIAN_MAPS = 64  # enough for a median; that of 500 maps of 512 × 512 pixels takes seconds


def map_range(maps: Tensor) -> tuple[float, float]:
    """Return the median pixel of normal images, and twice as far from it as most of their peaks.

    Infinite pixels are left out, because colors need finite ends; without any other, the range is
    0 to 1.

    Args:
        maps: ``(N, H, W)`` maps of at least one normal image.

    Example:
        >>> map_range(torch.tensor([[[0.0, 1.0, 3.0, torch.inf]]]))
        (1.0, 5.0)
    """
    # One map at a time: a copy of all would double the largest tensors of a run.
    peaks = torch.stack([own.where(own.isfinite(), -torch.inf).amax() for own in maps])
    known = peaks.isfinite()
    if not bool(known.any()):
        return 0.0, 1.0
    first = maps[known.nonzero()[:_MEDIAN_MAPS, 0]]
    low = float(first[first.isfinite()].median())
    peak = calibrated_threshold(peaks[known])
    return low, low + 2 * max(peak - low, 1e-12)
