"""How much memory the exact pixel figures take beside the maps, known before they are computed."""

from torch import Tensor

from bench.metrics.regions import Regions
from datasets_lib.free_memory import free_bytes

# Bytes a defective pixel, measured as peak resident memory with and without ties: while it is
# ranked (its score, its region, two counts, sort buffers), and while average precision and F1 hold
# temporaries of its counts.
_RANKED, _JUDGED = 36, 46
_SORT_BUFFERS = 1 << 29  # of one piece on CUDA


def peak_bytes(maps: Tensor, regions: Regions) -> int:
    """Most bytes held at once beside the maps and regions, never less than it turns out to be.

    Few defective pixels cost little, 1.7 times float32 maps at 5 %, for only the normal ones are
    copied and sorted; many cost their counts: 6 times at 50 %, 11 times at 95 %.

    Args:
        maps: ``(N, H, W)`` raw maps.
        regions: Of their masks.
    """
    pixels, defective = maps.numel(), len(regions.positions)
    width = max(4, maps.element_size())  # half precision is widened
    widened = width * pixels if maps.element_size() < 4 else 0
    ranking = pixels + widened + width * max(0, pixels - defective) + _RANKED * defective
    figures = pixels + (_JUDGED + width - 4) * defective
    return max(ranking, figures) + (_SORT_BUFFERS if maps.is_cuda else 0)


def fits(maps: Tensor, regions: Regions) -> bool:
    """Whether the exact figures have room; where nothing tells, they are tried."""
    free = free_bytes(maps.device)
    return not free or peak_bytes(maps, regions) < free
