"""Detection by defect size: an AUROC over all images hides that small defects are missed."""

import math

import torch
from torch import Tensor

from bench.metrics.ranking import auroc
from bench.metrics.regions import Regions

QUARTERS = 4


def auroc_by_area(
    scores: Tensor, labels: Tensor, regions: Regions
) -> tuple[dict[str, float], list[float]]:
    """Return the image AUROC of each quarter of the defective images, by area of their defects.

    Images of equal area stay in one quarter, so that quarters may differ in size and be empty.
    Images that are defective by label and have an empty mask at this size are left out.

    Args:
        scores: ``(N,)`` raw image scores.
        labels: ``(N,)`` booleans or integers; nonzero is defective.
        regions: Connected components of the masks.

    Returns:
        The AUROC of ``q1``, the smallest, to ``q4`` against all normal images, and the largest area
        of the first three quarters as shares of the image; both are empty below four images.

    Example:
        >>> from bench.metrics.regions import label_regions
        >>> masks = torch.zeros(6, 4, 4, dtype=torch.bool)
        >>> for image, area in enumerate([0, 0, 1, 2, 3, 4]):
        ...     masks[image, 0, :area] = True
        >>> scores = torch.tensor([0.1, 0.5, 0.3, 0.7, 0.8, 0.9])
        >>> auroc_by_area(scores, masks.any(2).any(1), label_regions(masks))
        ({'q1': 0.5, 'q2': 1.0, 'q3': 1.0, 'q4': 1.0}, [0.0625, 0.125, 0.1875])
    """
    count, height, width = regions.shape
    areas = torch.zeros(count, dtype=torch.int64)
    areas.index_add_(0, regions.images.cpu(), regions.sizes.cpu())
    scores, defective = scores.cpu(), labels.cpu() != 0
    own = areas[defective & (areas > 0)]
    if len(own) < QUARTERS:
        return {}, []
    ordered = own.sort().values
    # The largest area of each quarter: positions ⌈n q / 4⌉.
    limits = [int(ordered[math.ceil(len(own) * q / QUARTERS) - 1]) for q in range(1, QUARTERS)]
    quarter = torch.bucketize(areas, torch.tensor(limits))
    by_area = {}
    for number in range(QUARTERS):
        chosen = ~defective | (quarter == number) & (areas > 0)
        by_area[f"q{number + 1}"] = auroc(scores[chosen], defective[chosen])
    return by_area, [limit / (height * width) for limit in limits]
