"""Principal components of samples that arrive in batches.

Of n samples of d numbers, the smaller of their Gram matrix ``(n, n)`` and their covariance
``(d, d)`` is decomposed, once and in float64: both have the same eigenvalues but zeros, and squares
of singular values have half of a number's digits.
"""

import torch
from torch import Tensor

from models.components.checkpoints import DynamicBuffers
from models.components.moments import SecondMoments


class PCA(DynamicBuffers):
    """Mean and principal components.

    Attributes:
        mean: ``(d,)``; empty before `compute`.
        components: ``(k, d)`` orthonormal rows, the one of largest variance first.
        variances: ``(k,)`` of the samples along them, over n: the maximum-likelihood estimate.

    Args:
        keep: How many components, or with a fraction, how much of the variance they hold at least.
            Never more than the samples span, which is at most n − 1.
        channels: d, where it is known beforehand: checkpoints of another d are refused.
    """

    def __init__(self, keep: int | float, channels: int | None = None) -> None:
        super().__init__()
        if not (keep > 0 and (isinstance(keep, int) or keep < 1)):
            raise ValueError(
                f"A PCA keeps a number of components or a share of the variance between 0 and 1: "
                f"found {keep}."
            )
        self.keep = keep
        self.mean: Tensor
        self.components: Tensor
        self.variances: Tensor
        dimension = "channels" if channels is None else channels
        self.register_dynamic_buffer("mean", dimension)
        self.register_dynamic_buffer("components", "components", dimension)
        self.register_dynamic_buffer("variances", "components")
        self._moments = SecondMoments(torch.float64)

    def update(self, samples: Tensor) -> None:
        """Add samples ``(B, d)``, which must not change before `compute`."""
        self._moments.add(samples[None])

    def compute(self) -> None:
        """Compute the components and drop the samples.

        Raises:
            ValueError: Fewer than two samples, or samples that do not vary or are not finite.
        """
        moments, self._moments = self._moments, SecondMoments(torch.float64)
        count = moments.count
        if count < 2:
            raise ValueError(
                f"Principal components need at least two images: found {count}. Add normal images "
                "to the training split."
            )
        if count < moments.channels:
            mean, samples = (tensor[0] for tensor in moments.centered())
            values, vectors = self._largest(samples @ samples.T / count, count)
            components = (vectors.T @ samples) / (values[:, None] * count).sqrt()
        else:
            mean, covariance = (tensor[0] for tensor in moments.covariance())
            values, vectors = self._largest(covariance.mul_((count - 1) / count), count)
            components = vectors.T
        self.mean, self.variances = mean.float(), values.float()
        self.components = components.float().contiguous()

    def _largest(self, matrix: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The eigenvalues ``(k,)`` that are kept, largest first, and their vectors as columns."""
        total = matrix.trace()
        if not (total.isfinite() and total > 0):
            raise ValueError(
                f"Principal components need finite features that differ between the {count} "
                f"training images: found a variance of {total.item():.3g}. Check the images and "
                "the backbone's weights."
            )
        values, vectors = torch.linalg.eigh(matrix)
        values, vectors = values.flip(0), vectors.flip(1)
        # Samples were float32: directions of less variance than its rounding are noise.
        spanned = int((values > values[0] * torch.finfo(torch.float32).eps ** 2 * count).sum())
        max_components = min(spanned, count - 1)
        if isinstance(self.keep, int):
            kept = min(self.keep, max_components)
        else:
            below = values.cumsum(0) < self.keep * total
            kept = min(int(below.sum()) + 1, max_components)
        return values[:kept], vectors[:, :kept]

    def transform(self, samples: Tensor) -> Tensor:
        """Return coordinates ``(B, k)`` of samples ``(B, d)`` along the components."""
        return (samples - self.mean) @ self.components.T

    def residual(self, samples: Tensor) -> Tensor:
        """Return the residual of samples ``(B, d)``: x less its reconstruction."""
        delta = samples - self.mean
        return delta - (delta @ self.components.T) @ self.components
