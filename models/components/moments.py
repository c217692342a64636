"""Mean and standard deviation of every channel, gathered batch by batch."""

import torch
from torch import Tensor

_SMALLEST = 1e-6
"""Least standard deviation: dividing by that of a channel that never varies must stay finite."""


class ChannelStatistics:
    """Statistics over all positions of all pictures; how they are cut into batches is no matter.

    Each batch's mean and squared deviations are merged into the total's (Chan et al., 1979) in
    float64: no large sums of squares are ever subtracted from each other.
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean: Tensor | None = None
        self._deviations: Tensor | None = None

    def update(self, features: Tensor) -> None:
        """Take in features ``(B, C, h, w)``."""
        count = features.shape[0] * features.shape[2] * features.shape[3]
        variance, mean = torch.var_mean(features.detach().float(), dim=(0, 2, 3), correction=0)
        variance, mean = variance.double(), mean.double()
        if self._mean is None or self._deviations is None:
            self._count, self._mean, self._deviations = count, mean, count * variance
            return
        total = self._count + count
        gap = mean - self._mean
        self._mean = self._mean + gap * (count / total)
        self._deviations = (
            self._deviations + count * variance + gap.square() * (self._count * count / total)
        )
        self._count = total

    def mean_and_std(self) -> Tensor:
        """``(2, C)`` float32: means, and standard deviations of the population.

        Raises:
            RuntimeError: Nothing was absorbed.
        """
        if self._mean is None or self._deviations is None:
            raise RuntimeError("There are no features to take statistics of: absorb images first.")
        std = (self._deviations / self._count).sqrt().clamp(min=_SMALLEST)
        return torch.stack([self._mean, std]).float()
