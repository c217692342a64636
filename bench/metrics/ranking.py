"""Where each positive stands among the negatives: all that AUROC and exact F1-max need.

Only values are sorted, never indices, and only the positives, usually few, are looked up. Measured
on 5.4 million float32 scores, 5 % positive, one AVX-512 core: value sort 20 ms, look-ups 10 ms;
NumPy's argsort takes 12 times as long as its value sort, torch.sort 25 times. Order-preserving
integer keys gain less in the sort than they cost in the conversion (26 against 21 ms).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# On CUDA a sort carries int64 indices and buffers of its own, 20 bytes an element: sorting in
# pieces bounds them, and the counts of the pieces add up exactly.
_PIECE = 1 << 24


@dataclass(frozen=True)
class Ranks:
    """The positives' scores and how many negatives lie below each.

    Attributes:
        positives: ``(P,)`` scores of the positives, ascending.
        below: ``(P,)`` int64, negatives with a smaller score.
        up_to: ``(P,)`` int64, negatives with a smaller or equal score.
        negatives: Count of negatives.
    """

    positives: Tensor
    below: Tensor
    up_to: Tensor
    negatives: int

    @property
    def one_class(self) -> bool:
        """Whether there is nothing to rank against."""
        return not (self.negatives and len(self.positives))


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
    return _rank_on_host(scores, labels) if scores.is_cpu else _rank_on_device(scores, labels)


def auroc(scores: Tensor, labels: Tensor) -> float:
    """Area under the ROC curve: the chance that a positive outranks a negative, ties half.

    Exact: wins are counted in integers and divided once. ``nan`` where a class is missing.
    Temporary memory on the CPU is 1.3 times the scores at 5 % positives.

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


def _rank_on_host(scores: Tensor, labels: Tensor) -> Ranks:
    values, chosen = scores.numpy(), labels.numpy()
    positives, negatives = values[chosen], values[~chosen]
    positives.sort()
    negatives.sort()
    for ascending in (positives, negatives):
        if len(ascending) and np.isnan(ascending[-1]):  # NaN sorts last
            raise _nan_error(int(np.isnan(values).sum()), len(values))
    below = np.searchsorted(negatives, positives, side="left")
    up_to = below.copy()
    if len(negatives):
        # Ties are rare in real maps: look up the far end of a tie only where there is one.
        tied = negatives[np.minimum(below, len(negatives) - 1)] == positives
        up_to[tied] = np.searchsorted(negatives, positives[tied], side="right")
    return Ranks(
        torch.from_numpy(positives),
        torch.from_numpy(below),
        torch.from_numpy(up_to),
        len(negatives),
    )


def _rank_on_device(scores: Tensor, labels: Tensor, piece: int = _PIECE) -> Ranks:
    if nans := int(scores.isnan().sum()):
        raise _nan_error(nans, len(scores))
    positives = scores[labels].sort().values
    below = torch.zeros(len(positives), dtype=torch.int64, device=scores.device)
    up_to = torch.zeros_like(below)
    for values, chosen in zip(torch.split(scores, piece), torch.split(labels, piece), strict=True):
        negatives = values[~chosen].sort().values
        below += torch.searchsorted(negatives, positives)
        up_to += torch.searchsorted(negatives, positives, right=True)
    return Ranks(positives, below, up_to, len(scores) - len(positives))


def _nan_error(count: int, total: int) -> ValueError:
    return ValueError(
        f"{count} of {total} scores are NaN: a NaN has no rank, so the model diverged or its "
        "prediction is broken; look at its loss"
    )
