"""EfficientAD's order statistics: its loss on hard features, and exact quantiles of its maps."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

P_HARD = 0.999
"""Share of the squared differences that the student's loss passes over (section 3.2)."""


def hard_feature_loss(distance: Tensor, quantile: float = P_HARD) -> Tensor:
    """Mean of the squared differences at or above their own quantile, of the whole batch at once.

    An interpolated quantile lies between two neighbors in rank, so that what reaches it are all
    values from the upper neighbor on. Hence no full sort.

    Args:
        distance: Squared differences ``(B, C, h, w)``.
        quantile: In [0, 1].
    """
    values = distance.detach().flatten()
    kept = len(values) - math.ceil(quantile * (len(values) - 1))
    least = values.topk(kept, sorted=False).values.min()
    hard = distance >= least
    return (distance * hard).sum() / hard.sum()


def quantiles(values: Tensor, wanted: Sequence[float]) -> Tensor:
    """Exact quantiles, linear between neighbors in rank.

    `torch.quantile` does the same, of up to 16 million values.

    Args:
        values: ``(N,)``, any number of them.
        wanted: Quantiles in [0, 1].

    Returns:
        ``(Q,)`` in the values' precision.
    """
    ordered = values.sort().values
    found: list[Tensor] = []
    for quantile in wanted:
        place = quantile * (len(ordered) - 1)
        low, high = ordered[math.floor(place)].double(), ordered[math.ceil(place)].double()
        found.append(low + (place - math.floor(place)) * (high - low))
    return torch.stack(found).to(values.dtype)
