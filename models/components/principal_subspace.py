"""An orthonormal basis of the few directions in which points vary most, found fast."""

import torch
from torch import Tensor

_MOST = 256
_STEP = 32
_SHARE = 0.9
"""Measured on ResNet18 features of 384 numbers: with 90 % of the variance 17 of 16,384 points are
left that could be nearest, with 83 % 180; each costs as much as a direction."""

_WORTHWHILE = 0.75
_SAMPLE = 8192
_ITERATIONS = 2


def principal_subspace(points: Tensor) -> Tensor | None:
    """Orthonormal directions that hold nine tenths of the variance, or the 256 of the largest.

    Subspace iteration instead of a full decomposition, which takes seconds where there are 1536
    numbers: it finds a share of the variance that is less by a hundredth. Nothing is drawn.

    Args:
        points: ``(N, d)`` float32, of zero mean.

    Returns:
        ``(d, q)`` with q at most d / 2; None where these hold less than three quarters of it.
    """
    count, channels = points.shape
    sample = points[:: max(1, count // _SAMPLE)]
    covariance = sample.T @ sample
    most = min(_MOST, max(1, channels // 2))
    starts = torch.linspace(0, len(sample) - 1, most, device=points.device).long()
    basis = _orthonormal(covariance @ sample[starts].T)
    for _ in range(_ITERATIONS - 1):
        basis = _orthonormal(covariance @ basis)
    values, vectors = torch.linalg.eigh(basis.T @ covariance @ basis)
    held = values.flip(0).clamp_min(0).cumsum(0)
    total = covariance.trace()
    if held[-1] < _WORTHWHILE * total:
        return None
    enough = int((held < _SHARE * total).sum()) + 1
    kept = min(most, -(-enough // _STEP) * _STEP)
    return _orthonormal(basis @ vectors.flip(1)[:, :kept])


def _orthonormal(vectors: Tensor) -> Tensor:
    basis: Tensor = torch.linalg.qr(vectors)[0]
    return basis
