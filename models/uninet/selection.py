"""UniNet's domain-related feature selection: a teacher's features weight the student's."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class FeatureSelection(nn.Module):
    """Weights the student's features by where each channel of the teacher responds.

    A weight is the softmax over positions of the teacher's channel, times θ plus the channel's
    mean, with θ in [0.5, 1] learned per channel. In the official code θ stays at 1: it is moved to
    the GPU after it was made a parameter, so that no optimizer ever sees it. Here it is learned, as
    in the paper.

    Args:
        channels: Numbers of channels of the teacher's features by scale.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.thetas = nn.ParameterList(torch.zeros(1, count, 1, 1) for count in channels)

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> list[Tensor]:
        """Return the weighted features of the student.

        Args:
            student: Features ``(B, C, h, w)`` by scale.
            teacher: The same shapes.
        """
        return [
            features * selection_weights(prior, theta)
            for features, prior, theta in zip(student, teacher, self.thetas, strict=True)
        ]


def selection_weights(prior: Tensor, theta: Tensor) -> Tensor:
    """Return weights ``(B, C, h, w)`` from a teacher's features of that shape.

    Args:
        prior: The features.
        theta: Unbounded parameters ``(1, C, 1, 1)``; 0 stands for θ = 1.
    """
    positions = prior.flatten(2).softmax(dim=2).view_as(prior)
    bounded = theta.sigmoid() + 0.5
    # Not clamp(max=1), whose gradient at 1, where θ starts, is 0 in some versions of PyTorch.
    bounded = bounded.where(bounded <= 1, 1.0)
    return positions * (bounded + prior.mean(dim=(2, 3), keepdim=True))
