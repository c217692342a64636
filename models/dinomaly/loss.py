"""Dinomaly's loose loss: whole feature maps are compared, and easy points count little."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

_MAX_EASY = 0.9
_RAMP_STEPS = 1000
_EASY_GRADIENT = 0.1


def easy_share(step: int) -> float:
    """Return the share of points that count as well reconstructed at an optimizer step.

    It rises linearly from 0 to 0.9 within 1,000 steps, as in the official code of both settings;
    the paper has 500 for one model per category.
    """
    return _MAX_EASY * min(1.0, step / _RAMP_STEPS)


def loose_loss(teacher: Sequence[Tensor], student: Sequence[Tensor], easy: float) -> Tensor:
    """Return 1 − cosine between whole feature maps, mean over images and groups of layers.

    The gradient at the share ``easy`` of the batch's points with the smallest 1 − cosine is
    multiplied by 0.1 (hard mining; equations 4 and 5 of the paper). The value is not affected.

    Args:
        teacher: Features ``(B, N, C)`` of N points by group.
        student: Their reconstructions, which nothing else depends on.
        easy: Share of points, in [0, 1).
    """
    losses = []
    with torch.autocast(teacher[0].device.type, enabled=False):
        for target, output in zip(teacher, student, strict=True):
            target, output = target.float().detach(), output.float()
            # A hook scales the gradient and leaves the loss as it is.
            if output.requires_grad:
                output.register_hook(_Mining(_gradient_factors(target, output.detach(), easy)))
            cosine = F.cosine_similarity(target.flatten(1), output.flatten(1))
            losses.append((1 - cosine).mean())
    return torch.stack(losses).mean()


class _Mining:
    """Multiplies a gradient ``(B, N, C)`` by factors ``(B, N)``."""

    def __init__(self, factors: Tensor) -> None:
        self.factors = factors

    def __call__(self, gradient: Tensor) -> Tensor:
        return gradient * self.factors[..., None]


def _gradient_factors(target: Tensor, output: Tensor, easy: float) -> Tensor:
    """Return ``(B, N)`` factors: 1 for hard points, which include ties at the threshold."""
    distances = 1 - F.cosine_similarity(target, output, dim=-1)
    hard = max(1, int(distances.numel() * (1 - easy)))
    threshold = distances.flatten().topk(hard, sorted=False).values.min()
    return torch.where(distances < threshold, _EASY_GRADIENT, 1.0)
