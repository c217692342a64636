"""Reverse Distillation's distance, 1 − cosine, as a loss and as maps.

Everything here is float32 even under autocast: 1 − cosine of two nearly equal vectors is a
difference of nearly equal numbers, which bfloat16 rounds to 0.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

_EPS = 1e-8
"""Minimum norm, so that an all-zero feature has a cosine of 0 instead of NaN."""


def flattened_loss(teacher: Sequence[Tensor], student: Sequence[Tensor]) -> Tensor:
    """Return 1 − cosine of the flattened maps, mean over the batch, sum over scales.

    The loss of the official code of Deng and Li, CVPR 2022; the paper's is per pixel.

    Args:
        teacher: Feature maps ``(B, C, h, w)`` by scale.
        student: The same shapes.
    """
    # Reducing over (C, h, w) equals flattening: a cosine does not depend on the order of elements.
    return torch.stack(
        [_distance(t, s, (1, 2, 3)).mean() for t, s in zip(teacher, student, strict=True)]
    ).sum()


def per_pixel_loss(teacher: Sequence[Tensor], student: Sequence[Tensor]) -> Tensor:
    """Return 1 − cosine over channels at every pixel, mean over pixels, batch and scales.

    Args:
        teacher: Feature maps ``(B, C, h, w)`` by scale.
        student: The same shapes.
    """
    return torch.stack([scale.mean() for scale in distance_maps(teacher, student)]).mean()


LOSSES: Mapping[str, Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]] = {
    "flattened": flattened_loss,
    "per_pixel": per_pixel_loss,
}


def distance_maps(teacher: Sequence[Tensor], student: Sequence[Tensor]) -> list[Tensor]:
    """Return 1 − cosine over channels by scale, ``(B, h, w)`` float32 in [0, 2]."""
    return [_distance(t, s, (1,)) for t, s in zip(teacher, student, strict=True)]


def _distance(teacher: Tensor, student: Tensor, dims: tuple[int, ...]) -> Tensor:
    with torch.autocast(teacher.device.type, enabled=False):
        teacher, student = teacher.float(), student.float()
        cosine = (teacher * student).sum(dims) / (_norm(teacher, dims) * _norm(student, dims))
        return cosine.neg().add(1)


def _norm(features: Tensor, dims: tuple[int, ...]) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(features, dim=dims)
    return norm.clamp_min(_EPS)
