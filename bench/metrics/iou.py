"""Overlap of what is flagged with what is defective, at a threshold that saw normal images only."""

import torch
from torch import Tensor

from bench.metrics.ranking import comparable
from bench.metrics.regions import Regions
from bench.metrics.thresholds import calibrated_threshold

_PIECE = 1 << 22  # comparing in pieces keeps the flags in the cache: half the time of one pass


def pixel_threshold(calibration_maps: Tensor, percentile: float = 95.0) -> float:
    """The percentile of the maps' maxima: that share of normal images has no flagged pixel.

    Args:
        calibration_maps: ``(M, H, W)`` raw maps of normal images neither fitted nor tested.
        percentile: In [0, 100].

    Raises:
        ValueError: There are no maps, or one holds NaN.
    """
    return calibrated_threshold(calibration_maps.flatten(1).amax(1), percentile)


def iou(maps: Tensor, regions: Regions, threshold: float) -> float:
    """Pixels flagged and defective over pixels flagged or defective, all images together.

    Args:
        maps: ``(N, H, W)`` raw maps.
        regions: Connected components of their masks.
        threshold: ``score > threshold`` is flagged; rounded to the scores' precision.

    Returns:
        A share; ``nan`` where no pixel is defective.
    """
    scores = comparable(maps)
    defects = scores.index_select(0, regions.positions.to(scores.device))
    if not len(defects):
        return float("nan")
    limit = torch.tensor(threshold, dtype=scores.dtype, device=scores.device)
    flagged = sum(int((part > limit).count_nonzero()) for part in torch.split(scores, _PIECE))
    found = int((defects > limit).count_nonzero())
    return found / (flagged + len(defects) - found)
