"""First and second moments of samples that arrive in batches."""

import torch
from torch import Tensor

from models.components.errors import TooFewImagesError

_SMALLEST = 1e-6
"""Minimum standard deviation: dividing by that of a constant channel must stay finite."""


class ChannelStatistics:
    """Statistics over all positions of all images, however these are split into batches.

    Each batch's mean and squared deviations are merged into the total's (Chan et al., 1979) in
    float64: no large sums of squares are ever subtracted from each other.
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean: Tensor | None = None
        self._deviations: Tensor | None = None

    def update(self, features: Tensor) -> None:
        """Add features ``(B, C, h, w)``."""
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
        """Return ``(2, C)`` float32: means, and standard deviations of the population.

        Raises:
            ValueError: There was no sample.
        """
        if self._mean is None or self._deviations is None:
            raise TooFewImagesError(
                "Channel statistics need at least one image: found 0. Add normal images to the "
                "training split."
            )
        std = (self._deviations / self._count).sqrt().clamp(min=_SMALLEST)
        return torch.stack([self._mean, std]).float()


class SecondMoments:
    """Mean and covariance at P positions of C channels.

    The sums are of x minus a mean that is near the final one; otherwise float32 would lose
    precision where features are large and vary little. They add about C samples at a time: batch by
    batch, all products would be read and written for only a few samples.

    Attributes:
        count: Samples so far.
        positions: P; 0 before the first sample.
        channels: C; 0 before the first sample.

    Args:
        dtype: Precision of everything but the samples.
    """

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.count = 0
        self.positions = self.channels = 0
        self._dtype = dtype
        self._kept: list[Tensor] = []
        self._shift: Tensor | None = None
        self._sum = self._products = torch.empty(0)

    def add(self, samples: Tensor) -> None:
        """Add samples ``(P, B, C)``, neither copied nor changed."""
        self._kept.append(samples)
        self.count += samples.shape[1]
        self.positions, _, self.channels = samples.shape
        if sum(kept.shape[1] for kept in self._kept) >= self.channels:
            self._fold()

    def centered(self) -> tuple[Tensor, Tensor]:
        """Return the mean ``(P, C)`` and the centered samples ``(P, n, C)``, n < C; drops them."""
        samples = self._taken()
        mean = samples.mean(dim=1)
        return mean, samples.sub_(mean[:, None])

    def covariance(self) -> tuple[Tensor, Tensor]:
        """Return the mean ``(P, C)`` and covariance ``(P, C, C)`` over n − 1; drops the sums."""
        if self._kept:
            self._fold()
        assert self._shift is not None
        mean, covariance = self._shift + self._sum / self.count, self._products
        rows, columns = self._sum[:, :, None], self._sum[:, None, :]
        covariance.baddbmm_(rows, columns, alpha=-1 / self.count).div_(self.count - 1)
        self._sum = self._products = torch.empty(0)
        return mean, covariance

    def _fold(self) -> None:
        samples = self._taken()
        first = self._shift is None
        if self._shift is None:
            self._shift = samples.mean(dim=1)
            self._sum = torch.zeros_like(self._shift)
        samples.sub_(self._shift[:, None])
        self._sum += samples.sum(dim=1)
        if first:
            self._products = samples.mT @ samples
        else:
            self._products.baddbmm_(samples.mT, samples)

    def _taken(self) -> Tensor:
        samples = torch.cat(self._kept, dim=1).to(self._dtype)  # a copy, even of a single batch
        self._kept.clear()
        return samples
