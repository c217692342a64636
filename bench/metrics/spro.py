"""Saturated per-region overlap (Bergmann et al. 2022, MVTec LOCO).

A region is found once an area of it, its saturation, is flagged: for a missing object it is enough
to mark part of where it should be. Where the saturation is the region's size this is PRO.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from bench.metrics.curves import areas
from bench.metrics.ranking import Ranks
from bench.metrics.regions import Regions


def auspro(
    ranks: Ranks, regions: Regions, saturation: Tensor, limits: Sequence[float] = (0.05,)
) -> list[float]:
    """Area under the mean of min(flagged area / saturation, 1), up to each false-positive rate.

    Args:
        ranks: `rank_regions` of the maps and these regions.
        regions: As annotated, one mask each; they may overlap.
        saturation: ``(R,)`` pixels, above 0 and at most the region's size.
        limits: False-positive rates in (0, 1].

    Returns:
        One value in [0, 1] a limit; ``nan`` where there is no region, or nothing but regions.

    Raises:
        ValueError: A saturation or a limit is out of its range.
    """
    if ranks.one_class:
        return [float("nan")] * len(limits)
    return areas(ranks, saturated_weights(ranks, regions, saturation), limits)


def saturated_weights(ranks: Ranks, regions: Regions, saturation: Tensor) -> Tensor:
    """``(P,)`` float64 summing to 1: what finding each positive adds to the mean sPRO.

    Of each region only the highest-scored pixels up to its saturation count; the last of them for
    what is left of it.

    Raises:
        ValueError: A saturation is out of its range, or the ranks carry no regions.
    """
    if ranks.regions is None:
        raise ValueError("wanted ranks with regions, found none: rank with rank_regions")
    device = ranks.regions.device
    area, sizes = saturation.double().to(device), regions.sizes.to(device)
    if area.shape != sizes.shape or not bool(((area > 0) & (area <= sizes)).all()):
        raise ValueError(
            f"wanted a saturation in (0, size] for each of {len(sizes)} regions, found "
            f"{len(area)} of them from {float(area.min())} to {float(area.max())} pixels for "
            f"regions from {int(sizes.min())} to {int(sizes.max())}: cap it at the region's size"
        )
    grouped = ranks.regions.argsort(stable=True)  # by region, then by score
    better = torch.empty_like(ranks.below)  # pixels of the same region with a higher score
    last = sizes.cumsum(0).repeat_interleave(sizes) - 1
    better[grouped] = last - torch.arange(len(last), device=device)
    region = ranks.regions.long()
    counted = (area[region] - better).clamp(0, 1)
    return counted / (area[region] * regions.count)
