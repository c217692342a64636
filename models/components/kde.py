"""Kernel density estimate with a Gaussian kernel of the samples' own shape.

The kernel's covariance is the samples', over n − 1, times the square of Scott's factor
n^(−1 / (k + 4)) (Scott, "Multivariate Density Estimation", 1992), as in SciPy's ``gaussian_kde``.
"""

import math

import torch
from torch import Tensor

from models.components.checkpoints import DynamicBuffers
from models.components.errors import TooFewImagesError


class KDE(DynamicBuffers):
    """Density of n samples of k numbers.

    Attributes:
        whitening: ``(k, k)``, which makes the kernel's covariance the identity; empty before `fit`.
        samples: ``(n, k)`` less their mean and whitened.
        mean: ``(k,)`` of the samples.
        log_norm: Logarithm of the factor on the sum of kernels, a scalar.
    """

    def __init__(self) -> None:
        super().__init__()
        self.mean: Tensor
        self.whitening: Tensor
        self.samples: Tensor
        self.log_norm: Tensor
        self.register_dynamic_buffer("mean", "components")
        self.register_dynamic_buffer("whitening", "components", "components")
        self.register_dynamic_buffer("samples", "images", "components")
        self.register_dynamic_buffer("log_norm")

    def fit(self, samples: Tensor) -> None:
        """Fit the density to samples ``(n, k)``.

        Raises:
            ValueError: They do not span their k dimensions, as n ≤ k samples never do.
        """
        count, dimension = samples.shape
        mean = samples.double().mean(dim=0)
        centered = samples.double() - mean
        factor = count ** (-1 / (dimension + 4))
        covariance = centered.T @ centered / max(count - 1, 1) * factor**2
        cholesky, info = torch.linalg.cholesky_ex(covariance)
        if count <= dimension or info != 0:
            raise TooFewImagesError(
                f"A density in {dimension} dimensions needs more than {dimension} samples that "
                f"span them: found {count}, which do not. Add samples or reduce the dimensions."
            )
        identity = torch.eye(dimension, dtype=torch.float64, device=samples.device)
        whitening = torch.linalg.solve_triangular(cholesky, identity, upper=False)
        log_norm = whitening.diagonal().log().sum() - 0.5 * dimension * math.log(2 * math.pi)
        self.mean, self.whitening = mean.float(), whitening.float()
        self.samples = (centered @ whitening.T).float()
        self.log_norm = (log_norm - math.log(count)).float()

    def log_density(self, points: Tensor) -> Tensor:
        """Return the natural logarithm ``(B,)`` of the density at points ``(B, k)``.

        Finite wherever points are: it does not underflow as the density itself does far away.
        """
        white = (points - self.mean) @ self.whitening.T
        # Never by a matrix product, which cancels for near points and which torch chooses depending
        # on the size of the batch.
        mode = "donot_use_mm_for_euclid_dist"
        if torch.compiler.is_exporting():  # ONNX has no cdist
            squares = (white[:, None] - self.samples).square().sum(2)
        else:
            squares = torch.cdist(white, self.samples, compute_mode=mode).square()
        return torch.logsumexp(-0.5 * squares, dim=1) + self.log_norm
