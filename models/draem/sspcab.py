"""SSPCAB: self-supervised predictive convolutional attentive block (Ristea et al., CVPR 2022).

Each position is predicted from its surroundings, with itself masked, and the channels are weighted
by attention. It has its own training loss: the difference of its output from its input.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_DILATION = 1
_REDUCTION = 8
"""Ratio of channels to hidden units of the attention."""


class SSPCAB(nn.Module):
    """Masked convolution with four corners of 1 × 1, ReLU, and squeeze-and-excitation.

    Args:
        channels: Number of channels of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.corners = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(4))
        self.attention = nn.Sequential(
            nn.Linear(channels, channels // _REDUCTION),
            nn.ReLU(),
            nn.Linear(channels // _REDUCTION, channels),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the prediction ``(B, C, H, W)`` of an input of the same shape."""
        reach = 1 + _DILATION  # a corner lies this far from the center, down and across
        height, width = x.shape[-2:]
        padded = F.pad(x, (reach,) * 4)
        starts = [(top, left) for top in (0, 2 * reach) for left in (0, 2 * reach)]
        predicted = torch.zeros_like(x)
        for corner, (top, left) in zip(self.corners, starts, strict=True):
            predicted = predicted + corner(padded[..., top : top + height, left : left + width])
        predicted = F.relu(predicted)
        weights: Tensor = self.attention(predicted.mean(dim=(2, 3)))
        return predicted * weights[:, :, None, None]
