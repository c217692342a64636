"""Parts of the U-Nets that segment synthetic defects, in DRAEM and DSR."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Norm = Callable[[int], nn.Module]
"""Normalization layer of some channels, such as `torch.nn.BatchNorm2d`."""


class UNet(nn.Module):
    """U-Net: two convolutions per scale, max-pooling down, bilinear upsampling up.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        down: Channels of each scale on the way down; the sides of the input are a multiple of 2 to
            the number of scales less one.
        up: Channels of each scale on the way up, one fewer.
        norm: Normalization after each convolution but the last.
    """

    def __init__(
        self, inputs: int, outputs: int, down: Sequence[int], up: Sequence[int], norm: Norm
    ) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(
            double_conv(before, after, after, norm) for before, after in pairwise((inputs, *down))
        )
        steps = list(pairwise((down[-1], *up)))
        self.up = nn.ModuleList(up_conv(before, after, norm) for before, after in steps)
        self.decoder = nn.ModuleList(
            double_conv(after + skipped, after, after, norm)
            for (_, after), skipped in zip(steps, reversed(down[:-1]), strict=True)
        )
        self.out = nn.Conv2d(up[-1], outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, outputs, H, W)`` for ``(B, inputs, H, W)``."""
        skipped: list[Tensor] = []
        for number, block in enumerate(self.encoder):
            x = block(x if number == 0 else F.max_pool2d(x, 2))
            skipped.append(x)
        skipped.pop()
        for up, block in zip(self.up, self.decoder, strict=True):
            x = block(torch.cat((up(x), skipped.pop()), dim=1))
        logits: Tensor = self.out(x)
        return logits


def double_conv(before: int, between: int, after: int, norm: Norm) -> nn.Sequential:
    """Return two 3 × 3 convolutions, each with normalization and ReLU."""
    return nn.Sequential(*_conv(before, between, norm), *_conv(between, after, norm))


def up_conv(before: int, after: int, norm: Norm) -> nn.Sequential:
    """Return bilinear upsampling to twice the side, a 3 × 3 convolution, normalization and ReLU."""
    doubled = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
    return nn.Sequential(doubled, *_conv(before, after, norm))


def _conv(before: int, after: int, norm: Norm) -> tuple[nn.Module, nn.Module, nn.Module]:
    return nn.Conv2d(before, after, 3, padding=1), norm(after), nn.ReLU(inplace=True)
