"""Principal components of samples that arrive in batches.

For n samples of d numbers, the smaller of the Gram matrix ``(n, n)`` and the covariance ``(d, d)``
is decomposed: their nonzero eigenvalues are equal. It uses float64, since squaring singular
values halves the number of correct digits.
"""

import torch
from torch import Tensor

from models.components.checkpoints import DynamicBuffers
from models.components.errors import TooFewImagesError
from models.components.moments import SecondMoments


class PCA(DynamicBuffers):
    """Mean and principal components.

    Attributes:
        mean: ``(d,)``; empty before `compute`.
        components: ``(k, d)`` orthonormal rows in the order of decreasing variance.
        variances: ``(k,)`` variances along the components, divided by n (maximum likelihood).

    Args:
        keep: Number of components, or minimum share of the variance as a fraction. There are never
            more components than the samples span, which is at most n − 1.
        channels: Dimension d if known beforehand; checkpoints of another dimension are refused.
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

    @property
    def is_empty(self) -> bool:
        """Whether no samples were added since the last `compute`."""
        return not self._moments.count

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
            raise TooFewImagesError(
                f"Principal components need at least two images: found {count}. Add normal images "
                "to the training split."
            )
        if count < moments.channels:
            mean, samples = (tensor[0] for tensor in moments.centered())
            values, vectors = self._largest(samples @ samples.T / count, count)
            # X Xᵀ / n u = λ u gives the component Xᵀ u / √(λ n).
            components = (vectors.T @ samples) / (values[:, None] * count).sqrt()
        else:
            mean, covariance = (tensor[0] for tensor in moments.covariance())
            values, vectors = self._largest(covariance.mul_((count - 1) / count), count)
            components = vectors.T
        self.mean, self.variances = mean.float(), values.float()
        self.components = components.float().contiguous()

    def _largest(self, matrix: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Return the largest eigenvalues ``(k,)``, descending, and eigenvectors as columns."""
        total = matrix.trace()
        if not (total.isfinite() and total > 0):
            raise ValueError(
                f"Principal components need finite features that differ between the {count} "
                f"training images: found a variance of {total.item():.3g}. Check the images and "
                "the backbone's weights."
            )
        values, vectors = torch.linalg.eigh(matrix)
        values, vectors = values.flip(0), vectors.flip(1)
        # Samples are float32: directions of less variance than its rounding error are noise.
        spanned = int((values > values[0] * torch.finfo(torch.float32).eps ** 2 * count).sum())
        max_components = min(spanned, count - 1)
        if isinstance(self.keep, int):
            rank = min(self.keep, max_components)
        else:
            below = values.cumsum(0) < self.keep * total
            rank = min(int(below.sum()) + 1, max_components)
        return values[:rank], vectors[:, :rank]

    def transform(self, samples: Tensor) -> Tensor:
        """Return coordinates ``(B, k)`` of samples ``(B, d)`` along the components."""
        return (samples - self.mean) @ self.components.T

    def residual(self, samples: Tensor) -> Tensor:
        """Return samples ``(B, d)`` minus their reconstruction from the components."""
        delta = samples - self.mean
        return delta - (delta @ self.components.T) @ self.components
