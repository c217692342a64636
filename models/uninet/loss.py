"""UniNet's loss: cosine distance, contrast between positions, and a margin.

Everything is float32 even under autocast, which would round differences of nearly equal unit
vectors to 0.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

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
    similarities = ours @ theirs.mT / temperature  # (B, positions, positions)
    log_probability = cosine / temperature - similarities.logsumexp(dim=2)
    contrast = -log_probability.mean()
    margin = (1 - log_probability.exp()).mean()  # never negative: a probability is at most 1
    return LAMBDA * (1 - cosine.mean()) + (1 - LAMBDA) * contrast + margin
