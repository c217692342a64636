"""Where each positive stands among the negatives: all that the ranking metrics need, of one sort.

The negatives are sorted, and the positives, usually few, are looked up among them.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from bench.metrics.host_sort import count_below, sorted_positives

if TYPE_CHECKING:
    from bench.metrics.regions import Regions

# On CUDA a sort carries int64 indices and buffers of its own, 20 bytes an element: sorting in
# pieces, some eight a set, bounds them, and the counts of the pieces add up exactly.
_PIECES, _SMALLEST, _LARGEST = 8, 1 << 18, 1 << 24


@dataclass(frozen=True)
class Ranks:
    """The positives' scores and how many negatives lie below each.

    Attributes:
        positives: ``(P,)`` scores of the positives, ascending.
        below: ``(P,)`` int64, negatives with a smaller score.
        up_to: ``(P,)`` int64, negatives with a smaller or equal score.
        negatives: Count of negatives.
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
    def found(self) -> Tensor:
        """``(P,)`` integers: positives with at least the score of each."""
        count = len(self.positives)
        narrow = torch.int32 if count < 1 << 31 else torch.int64  # half the memory where it does
        index = torch.arange(count, dtype=narrow, device=self.positives.device)
        tied = self.positives[1:] == self.positives[:-1]
        if count and bool(tied.any()):
            index[1:].masked_fill_(tied, 0)
            index = index.cummax(0).values  # the first of each tie
        return count - index


def comparable(scores: Tensor) -> Tensor:
    """Scores detached, flat, in a precision whose comparisons are exact; half is widened.

    Raises:
        ValueError: The scores are not floating point.
    """
    if not scores.is_floating_point():
        raise ValueError(f"wanted floating-point scores, found {scores.dtype}: convert them first")
    scores = scores.detach().reshape(-1)
    return scores.float() if scores.dtype in {torch.float16, torch.bfloat16} else scores


def defective(labels: Tensor) -> Tensor:
    """Labels as flat booleans; any nonzero integer is defective.

    Raises:
        ValueError: The labels are floating point, so that "nonzero" may not be what was meant.
    """
    if labels.is_floating_point() or labels.is_complex():
        raise ValueError(
            f"wanted boolean or integer labels, found {labels.dtype}: threshold soft masks first"
        )
    return labels.reshape(-1) if labels.dtype == torch.bool else labels.reshape(-1) != 0


def matched(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Both of them flat, comparable and on the scores' device.

    Raises:
        ValueError: The shapes differ, or a dtype is not as above.
    """
    if scores.shape != labels.shape:
        raise ValueError(
            "wanted one label for each score, found scores of shape "
            f"{tuple(scores.shape)} and labels of shape {tuple(labels.shape)}"
        )
    return comparable(scores), defective(labels.to(scores.device))


def rank_positives(scores: Tensor, labels: Tensor) -> Ranks:
    """Rank every positive among the negatives, exactly, on the scores' device.

    Args:
        scores: Raw scores of any shape; higher is more anomalous. Infinities are ordinary values.
        labels: Booleans or integers of the same shape; nonzero is positive.

    Raises:
        ValueError: A score is NaN, or shapes or dtypes do not fit.
    """
    scores, labels = matched(scores, labels)
    return _rank(scores, ~labels, labels.nonzero()[:, 0], None)


def rank_regions(maps: Tensor, regions: "Regions") -> Ranks:
    """Rank every pixel of every region among the pixels of none, on the maps' device.

    The same as `rank_positives` of the masks, with each positive's region. What
    the figures take in all is in `bench.metrics.ranking_memory`.

    Args:
        maps: ``(N, H, W)`` raw maps.
        regions: Of masks of the maps' shape.

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
    return _rank(scores, negative, regions.positions, regions.ids)


def auroc(scores: Tensor, labels: Tensor) -> float:
    """Area under the ROC curve: the chance that a positive outranks a negative, ties half.

    Exact: wins are counted in integers and divided once. ``nan`` where a class is missing.

    Args:
        scores: Raw scores of any shape.
        labels: Booleans or integers of the same shape; nonzero is positive.

    Raises:
        ValueError: A score is NaN, or shapes or dtypes do not fit.
    """
    return auroc_of(rank_positives(scores, labels))


def auroc_of(ranks: Ranks) -> float:
    """`auroc` of scores already ranked."""
    if ranks.one_class:
        return float("nan")
    half_wins = int(ranks.below.sum()) + int(ranks.up_to.sum())
    return half_wins / (2 * len(ranks.positives) * ranks.negatives)


def _rank(scores: Tensor, negative: Tensor, positions: Tensor, ids: Tensor | None) -> Ranks:
    on = _rank_on_host if scores.is_cpu else _rank_on_device
    return on(scores, negative, positions, ids)


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
    piece = piece or min(max(len(scores) // _PIECES, _SMALLEST), _LARGEST)
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
