"""Per-region overlap (Bergmann et al. 2021): every defect counts alike, however small.

The false-positive rate is over all pixels outside every region, those of defective images too, and
the overlap is the mean over the regions of all images.
"""

from collections.abc import Sequence

from torch import Tensor

from bench.metrics.curves import areas, curve
from bench.metrics.ranking import Ranks
from bench.metrics.regions import Regions


def aupro(ranks: Ranks, regions: Regions, limits: Sequence[float] = (0.3,)) -> list[float]:
    """Area under the per-region overlap up to each false-positive rate, divided by that rate.

    MVTec's definition on all distinct thresholds, equal scores being one of them. anomalib 2.7
    gives the same but for its float32 sums: 83 maps of 64², 128² and 256² differed by up to 6e-8.

    Args:
        ranks: `rank_regions` of the maps and these regions.
        regions: Their connected components.
        limits: False-positive rates in (0, 1].

    Returns:
        One value in [0, 1] a limit; ``nan`` where there is no region, or nothing but regions.

    Raises:
        ValueError: A limit is outside (0, 1].
    """
    if ranks.one_class:
        return [float("nan")] * len(limits)
    return areas(ranks, overlap_weights(ranks, regions), limits)


def pro_curve(ranks: Ranks, regions: Regions) -> tuple[Tensor, Tensor]:
    """Corners of the PRO curve: ``(K,)`` false-positive rates and mean overlaps, float64."""
    return curve(ranks, overlap_weights(ranks, regions))


def overlap_weights(ranks: Ranks, regions: Regions) -> Tensor:
    """``(P,)`` float64 summing to 1: what finding each positive adds to the mean overlap.

    Raises:
        ValueError: The ranks carry no regions.
    """
    if ranks.regions is None:
        raise ValueError("wanted ranks with regions, found none: rank with rank_regions")
    share = 1 / (regions.count * regions.sizes.double())
    return share.to(ranks.regions.device).index_select(0, ranks.regions)
