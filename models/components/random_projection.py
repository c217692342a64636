"""Random linear maps that keep distances roughly (Johnson and Lindenstrauss)."""

import math

import torch
from torch import Tensor

DENSE_COMPONENTS = 128
"""Components of PatchCore's map (Roth et al., CVPR 2022, section 3.2, and the official code)."""

_EPS = 0.9
"""Distortion that anomalib's number of components assumes."""


def dense_projection(channels: int) -> Tensor:
    """Return ``(channels, 128)``, uniform as a linear layer's initial weights, drawn on the CPU."""
    return torch.nn.Linear(channels, DENSE_COMPONENTS, bias=False).weight.detach().T


def sparse_projection(channels: int, samples: int) -> Tensor:
    """Return a very sparse map (Li, Hastie and Church, KDD 2006), drawn on the CPU.

    Args:
        channels: Dimension of the samples.
        samples: Number of samples, from which the lemma gives the number of components.

    Returns:
        ``(channels, components)``: one entry in √channels is not zero; signs are equally likely.
    """
    components = int(4 * math.log(samples) / (_EPS**2 / 2 - _EPS**3 / 3))
    density = 1 / math.sqrt(channels)
    kept = torch.rand(channels, components) < density
    signs = torch.randint(2, (channels, components)).mul_(2).sub_(1)
    return kept * signs / math.sqrt(components * density)
