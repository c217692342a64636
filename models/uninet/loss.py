"""UniNet's loss: cosine distance, contrast between positions, and a margin.

Everything is float32 even under autocast, which would round differences of nearly equal unit
vectors to 0.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

_SIMILARITIES = 4096**2
"""Similarities per image that are kept for the backward pass, as many as 256 pixels have."""

LAMBDA = 0.7
"""Share of the cosine distance; the contrast gets the rest."""


def uninet_loss(teacher: Sequence[Tensor], student: Sequence[Tensor], temperature: float) -> Tensor:
    """Return the scalar loss of normal images, summed over scales.

    The contrast is the cross-entropy of finding, among all positions of the teacher's image, the
    student's own; the margin is how far that probability is from 1. The official code adds 1e-8 to
    the probability and to its denominator, which changes the loss by less than 1e-4.

    Args:
        teacher: Features ``(B, C, h, w)`` by scale.
        student: The same shapes.
        temperature: Divisor of the cosines in the contrast.
    """
    with torch.autocast(teacher[0].device.type, enabled=False):
        return torch.stack(
            [
                _scale_loss(t.float(), s.float(), temperature)
                for t, s in zip(teacher, student, strict=True)
            ]
        ).sum()


def _scale_loss(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    theirs = F.normalize(teacher.flatten(2).mT, dim=2)  # (B, positions, C)
    ours = F.normalize(student.flatten(2).mT, dim=2)
    cosine = (theirs * ours).sum(dim=2)
    log_probability = cosine / temperature - _log_totals(ours / temperature, theirs)
    contrast = -log_probability.mean()
    margin = (1 - log_probability.exp()).mean()  # never negative: a probability is at most 1
    return LAMBDA * (1 - cosine.mean()) + (1 - LAMBDA) * contrast + margin


def _log_totals(ours: Tensor, theirs: Tensor) -> Tensor:
    """Return the logarithm of the sum of exponentials over all positions of the teacher.

    For large images, the similarities of all pairs of positions would not fit in memory: they are
    computed in parts, and again in the backward pass.

    Args:
        ours: ``(B, P, C)``, already divided by the temperature.
        theirs: ``(B, P, C)``.

    Returns:
        ``(B, P)``.
    """

    def totals(part: Tensor) -> Tensor:
        return (part @ theirs.mT).logsumexp(dim=2)

    rows = max(1, _SIMILARITIES // theirs.shape[1])
    if rows >= ours.shape[1]:
        return totals(ours)
    parts = ours.split(rows, dim=1)
    return torch.cat(
        [checkpoint(totals, part, use_reentrant=False, preserve_rng_state=False) for part in parts],
        dim=1,
    )
