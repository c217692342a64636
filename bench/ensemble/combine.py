"""Three ways to combine the scores of several models into one."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


def mean(scores: Tensor) -> Tensor:
    """Return the mean ``(N,)`` of standardized scores ``(M, N)`` of M models."""
    return scores.mean(0)


def maximum(scores: Tensor) -> Tensor:
    """Return the highest ``(N,)`` of standardized scores ``(M, N)``."""
    return scores.amax(0)


def rank_mean(scores: Tensor) -> Tensor:
    """Return the mean rank ``(N,)`` of scores ``(M, N)`` among the N images, ties sharing theirs.

    It needs no standardization, but all images at once: a check, not for a production line.

    Example:
        >>> rank_mean(torch.tensor([[0.0, 5.0, 5.0], [1.0, 2.0, 3.0]])).tolist()
        [0.0, 1.25, 1.75]
    """
    ascending = scores.sort(1).values
    below = torch.searchsorted(ascending, scores.contiguous())
    upto = torch.searchsorted(ascending, scores.contiguous(), right=True)
    return ((below + upto - 1).double() / 2).mean(0)


CombinedScores = Callable[[Tensor], Tensor]

COMBINATIONS: Mapping[str, CombinedScores] = {
    "mean": mean,
    "rank mean": rank_mean,
    "maximum": maximum,
}
"""Methods by name; the first chooses and reports an ensemble, the others are checks."""
