"""AUPIMO: per-image overlap at very few false positives (Bertoldo et al. 2024).

Every defective image has a curve of its own: the share of its defect that is found, over the
false-positive rate in *normal* images only, on a logarithmic axis. An image is normal by its label:
a defect too small for the evaluation size leaves an empty mask, not a normal image.
"""

import math

import torch
from torch import Tensor

from bench.metrics.inputs import comparable
from bench.metrics.ranking import Ranks
from bench.metrics.regions import Regions

BOUNDS = (1e-5, 1e-4)
_PIECE = 1 << 18  # positives at once: their temporaries take about 100 bytes each


def aupimo(
    maps: Tensor,
    regions: Regions,
    ranks: Ranks,
    normal_images: Tensor,
    bounds: tuple[float, float] = BOUNDS,
) -> Tensor:
    """Return the area under each defective image's curve, divided by the axis' length.

    ∫ overlap d log(rate) / log(upper / lower) between the two rates. Exact over all distinct
    thresholds and at the bounds themselves. At a tie the overlap is linear in the rate, as if the
    tie were broken by chance, so that a constant map scores as chance does.

    The published implementation (as in anomalib 2.7) samples 300,000 thresholds evenly between the
    lowest and the highest score, joins them by trapezoids on the logarithmic axis and starts and
    ends at the attained rates nearest to the bounds. On 83 synthetic maps it gave .06634 (ours:
    .06628) at 256² and .0581 (.0567) at 128², where the lower bound is 3 pixels; with one pixel of
    3,000 among scores below 1, too few thresholds were left in the range and it raised an error.

    Args:
        maps: ``(N, H, W)`` raw maps without NaN.
        regions: Connected components of their masks.
        ranks: `rank_regions` of the two.
        normal_images: ``(N,)`` booleans: the images that false positives are counted in.
        bounds: Lower and upper false-positive rate.

    Returns:
        ``(D,)`` float64 for the D images with a defect, in their order.

    Raises:
        ValueError: `undefined_reason` has a reason, or the ranks carry no regions.

    Example:
        >>> from bench.metrics.ranking import rank_regions
        >>> from bench.metrics.regions import label_regions
        >>> masks = torch.zeros(2, 400, 400, dtype=torch.bool)
        >>> masks[1, 5:9, 5:9] = True
        >>> regions, maps = label_regions(masks), masks.float()
        >>> normal = torch.tensor([True, False])
        >>> aupimo(maps, regions, rank_regions(maps, regions), normal).tolist()
        [1.0]
    """
    if reason := undefined_reason(regions, normal_images, bounds):
        raise ValueError(f"AUPIMO cannot be computed: {reason}")
    ids = ranks.region_ids()
    pixels = regions.offsets.diff()
    normal = comparable(maps[normal_images.to(maps.device)])  # a copy, which is reordered
    low, high = (bound * len(normal) for bound in bounds)
    # A positive with floor(high) + 1 normal pixels above it is found too late to count, so no more
    # of them need to be sorted.
    top = _highest(normal, min(math.floor(high) + 1, len(normal)))
    ties = int((normal >= top[0]).count_nonzero()) - len(top)
    del normal
    # The floor(low)-th highest normal score: a positive above it is found before the lower bound
    # and counts whole. Positives from `first` to `whole` lie on the ramp and count in part.
    sure = top[-math.floor(low)] if low >= 1 else top[-1]
    first = int(torch.searchsorted(ranks.positives, top[:1]))
    whole = int(torch.searchsorted(ranks.positives, sure[None], right=True))

    by_region = torch.bincount(ids[whole:], minlength=regions.count).double()
    ramp = (torch.split(each[first:whole], _PIECE) for each in (ranks.positives, ids))
    for partly, own in zip(*ramp, strict=True):
        above = len(top) - torch.searchsorted(top, partly, right=True)
        reached = len(top) - torch.searchsorted(top, partly) + ties * (partly == top[0])
        part = log_share(above.double(), reached.double(), low, high)
        by_region.index_add_(0, own.long(), part)
    by_image = by_region.new_zeros(regions.shape[0])
    by_image.index_add_(0, regions.images.to(by_image.device), by_region)
    pixels = pixels.to(by_image.device)
    return by_image[pixels > 0] / pixels[pixels > 0]


def undefined_reason(
    regions: Regions, normal_images: Tensor, bounds: tuple[float, float] = BOUNDS
) -> str:
    """Return why AUPIMO is undefined, or an empty string.

    One normal pixel must be at most the lower rate, or else the rates cannot be distinguished.
    """
    pixels = int(normal_images.sum()) * regions.shape[1] * regions.shape[2]
    if not regions.count:
        return "no pixel is defective"
    wanted = math.ceil(1 / bounds[0])
    return (
        f"a false-positive rate of {bounds[0]:g} needs {wanted:,} pixels of normal images, there "
        f"are {pixels:,}"
        if pixels < wanted
        else ""
    )


def _highest(scores: Tensor, count: int) -> Tensor:
    """Return the highest ``count`` scores, ascending; host scores are reordered in place."""
    if scores.is_cpu:  # NumPy's vectorized selection is 7 times as fast as topk
        scores.numpy().partition(len(scores) - count)
        return scores[-count:].sort().values
    return scores.topk(count).values.flip(0)


def log_share(above: Tensor, reached: Tensor, low: float, high: float) -> Tensor:
    """Return what a pixel found from ``above`` to ``reached`` normal pixels adds, at most 1.

    ∫ from low to high of clamp((x − above) / (reached − above), 0, 1) d log x, over its largest
    value, log(high / low).
    """
    begin, end = above.clamp(low, high), reached.clamp(low, high)
    width = (reached - above).clamp(min=1)  # no width, no ramp: begin is end
    ramp = ((end - begin) - above * (end / begin).log()) / width
    return (ramp + (high / end).log()) / math.log(high / low)
