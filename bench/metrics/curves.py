"""Weighted ROC curves and the exact area under their beginning, of scores already ranked.

A curve goes up by a positive's weight where the threshold passes its score, and right by one
negative where it passes a negative's; at a tie it goes straight to the far corner. ROC weighs every
positive 1 / P, PRO 1 / (regions × the size of its region). The area is a sum over positives, each
counting from where it is found to the limit, so no curve is built and no threshold sampled.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from bench.metrics.ranking import Ranks

_PIECE = 1 << 20


def areas(ranks: Ranks, weights: Tensor, limits: Sequence[float]) -> list[float]:
    """Area under the curve up to each false-positive rate, divided by that rate.

    Trapezoid over all distinct thresholds, interpolated linearly at the limit. Never above 1: no
    positive counts for more than its weight, and rounding is cut off.

    Args:
        ranks: Not of one class.
        weights: ``(P,)`` float64 in the order of the ranks, summing to 1.
        limits: False-positive rates in (0, 1].

    Raises:
        ValueError: A limit is outside (0, 1].
    """
    if not all(0 < limit <= 1 for limit in limits):
        raise ValueError(f"wanted false-positive rates in (0, 1], found {tuple(limits)}")
    firsts = {limit: _reached(ranks, limit) for limit in limits}
    start = min((full for _, full in firsts.values()), default=0)
    # Twice the middle of a tie, in negatives, is whole and so exact.
    middles = ranks.below[start:].double()
    pieces = (torch.split(counts, _PIECE) for counts in (middles, ranks.up_to[start:]))
    for part, up_to in zip(*pieces, strict=True):
        part.add_(up_to)  # in pieces: adding another type makes a copy in this one
    middles.neg_().add_(2 * ranks.negatives).div_(2)
    found = []
    for limit, (some, full) in firsts.items():
        reach = limit * ranks.negatives
        heavy = weights[full:]
        area = float(heavy.sum()) * reach - float(heavy @ middles[full - start :])
        if some < full:  # the tie that straddles the limit counts for the part before it
            above = (ranks.negatives - ranks.up_to[some:full]).double()
            width = (ranks.up_to[some:full] - ranks.below[some:full]).double()
            area += float(weights[some:full] @ ((reach - above).square() / (2 * width)))
        found.append(min(max(area / reach, 0.0), 1.0))
    return found


def curve(ranks: Ranks, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The corners of the curve, from (0, 0) to (1, 1): false-positive rates and found weight.

    Args:
        ranks: Not of one class.
        weights: ``(P,)`` float64 summing to 1, or None for the ROC curve.

    Returns:
        Two ``(K,)`` float64 tensors, K at most 2 P + 2.
    """
    if weights is None:
        weights = torch.ones_like(ranks.below, dtype=torch.float64) / len(ranks.below)
    first = torch.ones(len(ranks.below), dtype=torch.bool, device=ranks.below.device)
    first[1:] = ranks.positives[1:] != ranks.positives[:-1]
    after = weights.flip(0).cumsum(0).flip(0)[first]  # found once the tie is passed
    before = torch.cat((after[1:], after.new_zeros(1)))
    above, reached = (ranks.negatives - side[first] for side in (ranks.up_to, ranks.below))
    rates = torch.stack((reached, above), 1).flatten().flip(0).double() / ranks.negatives
    heights = torch.stack((after, before), 1).flatten().flip(0)
    nothing, everything = rates.new_zeros(1), rates.new_ones(1)
    return torch.cat((nothing, rates, everything)), torch.cat((nothing, heights, everything))


def _reached(ranks: Ranks, limit: float) -> tuple[int, int]:
    """First positive partly, and first wholly, found before the false-positive rate."""
    cut = ranks.negatives - limit * ranks.negatives  # negatives that must stay below
    some = int(torch.searchsorted(ranks.up_to, math.floor(cut) + 1))
    full = int(torch.searchsorted(ranks.below, math.ceil(cut)))
    return min(some, full), full
