"""Areas under the beginning of weighted ROC curves: AUPRO, and sPRO with saturated regions.

A curve goes up by a positive's weight where the threshold passes its score, and right by one
negative where it passes a negative's; at a tie it goes straight to the far corner. Per-region
overlap (PRO, Bergmann et al. 2021) weights each positive 1 / (regions × the size of its region), so
that every defect counts the same, however small; the false-positive rate is over all pixels outside
every region, those of defective images included. The area is a sum over positives, each counting
from where it is found to the limit, so no curve is built and no threshold is sampled.

Saturated overlap (sPRO, Bergmann et al. 2022, MVTec LOCO) regards a region as found once an area of
it, its saturation, is flagged: for a missing object it is enough to mark part of where it should
be. Where the saturation is the region's size, sPRO is PRO.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from bench.metrics.ranking import Ranks
from bench.metrics.regions import Regions

_PIECE = 1 << 20


def aupro(ranks: Ranks, regions: Regions, limits: Sequence[float] = (0.3,)) -> list[float]:
    """Return the area under the per-region overlap up to each false-positive rate, over that rate.

    MVTec's definition on all distinct thresholds, equal scores being one of them. anomalib 2.7
    gives the same up to its float32 sums: 83 maps of 64², 128² and 256² differed by up to 6e-8.

    Args:
        ranks: `rank_regions` of the maps and these regions.
        regions: Connected components of the masks.
        limits: False-positive rates in (0, 1].

    Returns:
        A value in [0, 1] for each limit; ``nan`` without a region or without a pixel outside them.

    Raises:
        ValueError: A limit is outside (0, 1].

    Example:
        >>> import torch
        >>> from bench.metrics.ranking import rank_regions
        >>> from bench.metrics.regions import label_regions
        >>> regions = label_regions(torch.tensor([[[1, 0, 0, 0, 1]]]))
        >>> aupro(rank_regions(torch.tensor([[[5.0, 1, 2, 3, 2.5]]]), regions), regions, (1.0,))
        [0.8333333333333334]
    """
    if ranks.one_class:
        return [float("nan")] * len(limits)
    return areas(ranks, overlap_weights(ranks, regions), limits)


def auspro(
    ranks: Ranks, regions: Regions, saturation: Tensor, limits: Sequence[float] = (0.05,)
) -> list[float]:
    """Return the area under the mean of min(flagged area / saturation, 1), as `aupro`.

    Args:
        ranks: `rank_regions` of the maps and these regions.
        regions: As annotated, one mask each; they may overlap.
        saturation: ``(R,)`` pixels, above 0 and at most the region's size.
        limits: False-positive rates in (0, 1].

    Raises:
        ValueError: A saturation or a limit is out of its range.

    Example:
        >>> import torch
        >>> from bench.metrics.ranking import rank_regions
        >>> from bench.metrics.regions import label_regions
        >>> regions = label_regions(torch.tensor([[[1, 1, 0, 0]]]))
        >>> ranks = rank_regions(torch.tensor([[[9.0, 0, 1, 2]]]), regions)
        >>> auspro(ranks, regions, torch.tensor([1]), (1.0,)), aupro(ranks, regions, (1.0,))
        ([1.0], [0.5])
    """
    if ranks.one_class:
        return [float("nan")] * len(limits)
    return areas(ranks, _saturated_weights(ranks, regions, saturation), limits)


def areas(ranks: Ranks, weights: Tensor, limits: Sequence[float]) -> list[float]:
    """Return the area under the weighted curve up to each false-positive rate, over that rate.

    Trapezoids over all distinct thresholds, interpolated linearly at the limit. Never above 1: no
    positive counts for more than its weight, and rounding is cut off.

    Args:
        ranks: Ranks of both classes.
        weights: ``(P,)`` float64 in the order of the ranks, summing to 1.
        limits: False-positive rates in (0, 1].

    Raises:
        ValueError: A limit is outside (0, 1].
    """
    if not all(0 < limit <= 1 for limit in limits):
        raise ValueError(f"wanted false-positive rates in (0, 1], found {tuple(limits)}")
    firsts = {limit: _reached(ranks, limit) for limit in limits}
    start = min((full for _, full in firsts.values()), default=0)
    # A positive tied with the negatives from `below` to `up_to` is found, on average, in the middle
    # of the tie. Twice the middle, counted in negatives, is whole and so exact in float64.
    middles = ranks.below[start:].double()
    pieces = (torch.split(counts, _PIECE) for counts in (middles, ranks.up_to[start:]))
    for part, up_to in zip(*pieces, strict=True):
        part.add_(up_to)  # in pieces: adding another dtype makes a float64 copy of it
    # From counts of negatives below to counts of negatives above, which is the x of the curve.
    middles.neg_().add_(2 * ranks.negatives).div_(2)
    values = []
    for limit, (partly, full) in firsts.items():
        reach = limit * ranks.negatives
        heavy = weights[full:]
        # Each positive contributes weight × (limit − where it is found).
        area = float(heavy.sum()) * reach - float(heavy @ middles[full - start :])
        if partly < full:  # the tie that straddles the limit counts for the triangle before it
            above = (ranks.negatives - ranks.up_to[partly:full]).double()
            width = (ranks.up_to[partly:full] - ranks.below[partly:full]).double()
            area += float(weights[partly:full] @ ((reach - above).square() / (2 * width)))
        values.append(min(max(area / reach, 0.0), 1.0))
    return values


def overlap_weights(ranks: Ranks, regions: Regions) -> Tensor:
    """Return ``(P,)`` float64 summing to 1: what finding each positive adds to the mean overlap."""
    ids = ranks.region_ids()
    share = 1 / (regions.count * regions.sizes.double())
    return share.to(ids.device).index_select(0, ids)


def _saturated_weights(ranks: Ranks, regions: Regions, saturation: Tensor) -> Tensor:
    """Return ``(P,)`` float64 summing to 1: what finding each positive adds to the mean sPRO."""
    # Of each region only the highest-scored pixels up to its saturation count, the last of them for
    # the fraction that is left.
    ids = ranks.region_ids()
    area, sizes = saturation.double().to(ids.device), regions.sizes.to(ids.device)
    if area.shape != sizes.shape or not bool(((area > 0) & (area <= sizes)).all()):
        raise ValueError(
            f"wanted a saturation in (0, size] for each of {len(sizes)} regions, found "
            f"{len(area)} of them from {float(area.min())} to {float(area.max())} pixels for "
            f"regions from {int(sizes.min())} to {int(sizes.max())}: cap it at the region's size"
        )
    # Grouped by region, a region's pixels stand in ascending order of score and end at `last`, so
    # that a pixel's distance to `last` is the number of better pixels of its region.
    grouped = ids.argsort(stable=True)
    better = torch.empty_like(ranks.below)
    last = sizes.cumsum(0).repeat_interleave(sizes) - 1
    better[grouped] = last - torch.arange(len(last), device=ids.device)
    region = ids.long()
    counted = (area[region] - better).clamp(0, 1)
    return counted / (area[region] * regions.count)


def _reached(ranks: Ranks, limit: float) -> tuple[int, int]:
    """Return the first positive partly, and the first wholly, found before the limit."""
    cut = ranks.negatives - limit * ranks.negatives  # negatives that must stay below
    partly = int(torch.searchsorted(ranks.up_to, math.floor(cut) + 1))
    full = int(torch.searchsorted(ranks.below, math.ceil(cut)))
    return min(partly, full), full
