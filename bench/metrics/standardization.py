"""Robust location and scale of normal scores, so that scores of several models share one scale."""

import numpy as np
from torch import Tensor

from bench.metrics.inputs import comparable

NORMAL_MAD = 1.482602218505602
"""Standard deviation of a normal distribution in units of its median absolute deviation."""

_NORMAL_MEAN_DEVIATION = 1.2533141373155001


def center_and_spread(values: Tensor) -> tuple[float, float]:
    """Return the median, and the median absolute deviation as a standard deviation.

    Where more than half of the values are equal, that deviation is 0 and the mean absolute
    deviation from the median stands in for it; the spread is 0 only where all values are equal.

    Args:
        values: Scores of any shape; infinite ones are left out.

    Raises:
        ValueError: There is no finite value.

    Example:
        >>> import torch
        >>> center_and_spread(torch.tensor([1.0, 2.0, 3.0, 4.0, 90.0]))
        (3.0, 1.482602218505602)
    """
    flat = comparable(values).double().cpu().numpy()
    flat = flat[np.isfinite(flat)]
    if not len(flat):
        raise ValueError(f"wanted finite scores, found none among {values.numel()}")
    center = float(np.median(flat))  # not torch.quantile, which stops at 16 million values
    deviations = np.abs(flat - center)
    spread = NORMAL_MAD * float(np.median(deviations))
    return center, spread or _NORMAL_MEAN_DEVIATION * float(deviations.mean())


def standardized(values: Tensor, center: float, spread: float) -> Tensor:
    """Return float64 scores in spreads above the center; the order is kept."""
    return (values.double() - center) / spread
