"""Rank each positive among the negatives, the one sort that every ranking metric needs.

The negatives are sorted, and the positives, usually few, are looked up among them. Everywhere a
score *greater than* the threshold means defective; a score equal to it is normal. Scores are ranked
as the model gave them: no sigmoid, no clamp, no rescaling.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from bench.metrics.host_sort import count_below, sorted_positives
from bench.metrics.inputs import comparable, matched
from bench.metrics.regions import Regions

# On CUDA a sort needs int64 indices and its own buffers, 28 bytes per element. Sorting a set in
# about eight pieces bounds them, and the counts of the pieces add up exactly.
_PIECES, _MIN_PIECE, _MAX_PIECE = 8, 1 << 18, 1 << 24


@dataclass(frozen=True)
class Ranks:
    """The positives' scores and the number of negatives below each.

    Attributes:
        positives: ``(P,)`` scores of the positives, ascending.
        below: ``(P,)`` int64, negatives with a smaller score.
        up_to: ``(P,)`` int64, negatives with a smaller or equal score.
        negatives: Number of negatives.
        regions: ``(P,)`` int32, the region of each positive, where regions were ranked.
    """

    positives: Tensor
    below: Tensor
    up_to: Tensor
    negatives: int
    regions: Tensor | None = None

    @property
    def one_class(self) -> bool:
        """Whether there is nothing to rank against."""
        return not (self.negatives and len(self.positives))

    @cached_property
    def hits(self) -> Tensor:
        """``(P,)`` integers: positives with at least the score of each."""
        count = len(self.positives)
        narrow = torch.int32 if count < 1 << 31 else torch.int64  # half the memory where it fits
        index = torch.arange(count, dtype=narrow, device=self.positives.device)
        tied = self.positives[1:] == self.positives[:-1]
        if count and bool(tied.any()):
            # Zero the index of every tied follower; the running maximum then repeats the index of
            # the first positive of the tie.
            index[1:].masked_fill_(tied, 0)
            index = index.cummax(0).values
        return count - index

    def region_ids(self) -> Tensor:
        """Return ``(P,)`` int32, the region of each positive.

        Raises:
            ValueError: The ranks carry no regions.
        """
        if self.regions is None:
            raise ValueError("wanted ranks with regions, found none: rank with rank_regions")
        return self.regions


def rank_positives(scores: Tensor, labels: Tensor) -> Ranks:
    """Rank every positive among the negatives, exactly, on the scores' device.

    Args:
        scores: Raw scores of any shape; higher is more anomalous. Infinities are ordinary values.
        labels: Booleans or integers of the same shape; nonzero is positive.

    Raises:
        ValueError: A score is NaN, or shapes or dtypes do not fit.

    Example:
        >>> import torch
        >>> ranks = rank_positives(torch.tensor([0.1, 0.4, 0.4, 0.9]), torch.tensor([0, 0, 1, 1]))
        >>> ranks.below.tolist(), ranks.up_to.tolist()
        ([1, 2], [2, 2])
    """
    scores, labels = matched(scores, labels)
    rank = _rank_on_host if scores.is_cpu else _rank_on_device
    return rank(scores, ~labels, labels.nonzero()[:, 0], None)


def rank_regions(maps: Tensor, regions: Regions) -> Ranks:
    """Rank every pixel of every region among the pixels outside, on the maps' device.

    The same as `rank_positives` of the masks, with each positive's region. The memory it takes is
    known beforehand: see `bench.metrics.pixels.peak_bytes`.

    Args:
        maps: ``(N, H, W)`` raw maps.
        regions: Regions of masks of the maps' shape.

    Raises:
        ValueError: A score is NaN, the maps are not floating point or of another shape.
    """
    if tuple(maps.shape) != regions.shape:
        raise ValueError(
            "wanted one label for each score, found maps of shape "
            f"{tuple(maps.shape)} and regions of masks of shape {regions.shape}"
        )
    scores, regions = comparable(maps), regions.to(maps.device)
    negative = torch.ones(len(scores), dtype=torch.bool, device=scores.device)
    negative.index_fill_(0, regions.positions, False)
    rank = _rank_on_host if scores.is_cpu else _rank_on_device
    return rank(scores, negative, regions.positions, regions.ids)


def auroc(scores: Tensor, labels: Tensor) -> float:
    """Return the area under the ROC curve: the chance that a positive outranks a negative.

    AUROC = (wins + ties / 2) / (positives × negatives), the Mann–Whitney statistic. Exact: wins are
    counted in integers and divided once. ``nan`` where a class is missing.

    Args:
        scores: Raw scores of any shape.
        labels: Booleans or integers of the same shape; nonzero is positive.

    Raises:
        ValueError: A score is NaN, or shapes or dtypes do not fit.

    Example:
        >>> import torch
        >>> auroc(torch.tensor([0.1, 0.4, 0.4, 0.9]), torch.tensor([0, 0, 1, 1]))
        0.875
    """
    return auroc_of(rank_positives(scores, labels))


def auroc_of(ranks: Ranks) -> float:
    """Return `auroc` of scores that are already ranked."""
    if ranks.one_class:
        return float("nan")
    half_wins = int(ranks.below.sum()) + int(ranks.up_to.sum())
    return half_wins / (2 * len(ranks.positives) * ranks.negatives)


def average_precision(ranks: Ranks) -> float:
    """Return the mean over positives of the precision at each one's score: the step definition.

    Sum over thresholds of (R_n − R_{n−1}) P_n, equal scores being one threshold, as scikit-learn
    defines it: no interpolation. ``nan`` where a class is missing.

    Example:
        >>> import torch
        >>> average_precision(rank_positives(torch.tensor([3.0, 2, 1]), torch.tensor([1, 0, 1])))
        0.8333333333333333
    """
    if ranks.one_class:
        return float("nan")
    hits, flagged = _at_positives(ranks)
    return float(hits.div_(flagged).mean())


def f1_max(ranks: Ranks) -> tuple[float, float]:
    """Return the highest F1 of any threshold and that threshold; it *sees the test labels*.

    F1 = 2 TP / (flagged + positives). The best is always at a positive's score v: lowering the
    threshold to the next positive only lets negatives in. Of equal F1 the highest v wins. The
    threshold is the number next below v in the scores' precision, so that ``score > threshold``
    gives exactly this F1. A score of −inf can never be flagged.

    Returns:
        F1 and threshold; ``nan`` and ``nan`` where a class is missing or all positives are −inf.

    Example:
        >>> import torch
        >>> ranks = rank_positives(torch.tensor([3.0, 2, 1]), torch.tensor([1, 0, 1]))
        >>> f1, threshold = f1_max(ranks)
        >>> f1, 0.999 < threshold < 1
        (0.8, True)
    """
    if ranks.one_class or bool(ranks.positives[-1] == -math.inf):
        return float("nan"), float("nan")
    count = len(ranks.positives)
    hits, flagged = _at_positives(ranks)
    f1 = hits.mul_(2).div_(flagged.add_(count))
    f1[ranks.positives == -math.inf] = -1.0
    best = int((f1 == f1.max()).nonzero()[-1])
    value = ranks.positives[best]
    return float(f1[best]), float(torch.nextafter(value, torch.full_like(value, -math.inf)))


def _at_positives(ranks: Ranks) -> tuple[Tensor, Tensor]:
    """Return ``(P,)`` float64 counts of positives, and of all scores, at or above each positive."""
    hits = ranks.hits.double()
    # In place and without mixed dtypes, since there may be as many positives as pixels.
    # flagged = negatives at or above = negatives − below, plus the positives.
    flagged = ranks.below.double().neg_().add_(ranks.negatives).add_(hits)
    return hits, flagged


def _rank_on_host(scores: Tensor, negative: Tensor, positions: Tensor, ids: Tensor | None) -> Ranks:
    values, outside = scores.numpy(), negative.numpy()
    positives, regions = sorted_positives(
        values[positions.numpy()], None if ids is None else ids.numpy()
    )
    below, up_to, nans = count_below(values, outside, positives, torch.get_num_threads())
    if nans:
        raise _nan_error(int(np.isnan(values).sum()), len(values))
    return Ranks(
        torch.from_numpy(positives),
        torch.from_numpy(below),
        torch.from_numpy(up_to),
        int(np.count_nonzero(outside)),
        None if regions is None else torch.from_numpy(regions),
    )


def _rank_on_device(
    scores: Tensor,
    negative: Tensor,
    positions: Tensor,
    ids: Tensor | None,
    piece: int | None = None,
) -> Ranks:
    piece = piece or min(max(len(scores) // _PIECES, _MIN_PIECE), _MAX_PIECE)
    if nans := int(scores.isnan().sum()):
        raise _nan_error(nans, len(scores))
    positives, order = scores[positions].sort()
    below = torch.zeros(len(positives), dtype=torch.int64, device=scores.device)
    up_to = torch.zeros_like(below)
    count = 0
    for part, outside in zip(torch.split(scores, piece), torch.split(negative, piece), strict=True):
        negatives = part[outside].sort().values
        below += torch.searchsorted(negatives, positives)
        up_to += torch.searchsorted(negatives, positives, right=True)
        count += len(negatives)
    return Ranks(positives, below, up_to, count, None if ids is None else ids[order])


def _nan_error(count: int, total: int) -> ValueError:
    return ValueError(
        f"{count} of {total} scores are NaN: a NaN has no rank, so the model diverged or its "
        "prediction is broken; look at its loss"
    )
