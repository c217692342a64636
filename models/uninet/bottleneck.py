"""UniNet's bottleneck: multi-scale fusion, then residual blocks of two parallel branches.

The fusion is Reverse Distillation's. The paper gives a block's second branch 7×7 kernels; the
official code exchanges them for 3×3 kernels with a bias when it is constructed, before training, so
that both branches are 3×3. These are built here. Layers that the official code has and never calls
(8.4 M parameters, almost all of a fourth fusion) are left out.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.reverse_distillation.resnet_student import ResNetShape

_PLANES = 512  # of a ResNet's fourth stage, which the embedding replaces


class AttentionBottleneck(nn.Module):
    """Fusion of three scales at stride 16, then an embedding at stride 32.

    Args:
        shape: Hyperparameters of the teachers.
    """

    def __init__(self, shape: ResNetShape) -> None:
        super().__init__()
        low, middle, high = shape.channels
        self.low = nn.Sequential(*_halve(low, middle), *_halve(middle, high))
        self.middle = nn.Sequential(*_halve(middle, high))
        width = _PLANES * shape.base_width // 64
        out = _PLANES * shape.expansion
        self.blocks = nn.Sequential(
            _SplitBlock(3 * high, width, out, stride=2),
            *(_SplitBlock(out, width, out) for _ in range(shape.embedding_blocks - 1)),
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Embed features at strides 4, 8 and 16 into ``(B, C, h, w)`` at stride 32."""
        low, middle, high = features
        fused = torch.cat([self.low(low), self.middle(middle), high], dim=1)
        embedding: Tensor = self.blocks(fused)
        return embedding


class _SplitBlock(nn.Module):
    """A residual block whose branches take half of the channels each."""

    def __init__(self, channels: int, width: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.first = _branch(channels // 2, width // 2, stride, bias=False)
        self.second = _branch(channels // 2, width // 2, stride, bias=True)
        self.merge = nn.Sequential(nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out))
        self.shortcut = (
            nn.Sequential(
                nn.Conv2d(channels, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out)
            )
            if stride > 1
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1)
        merged = self.merge(torch.cat([self.first(first), self.second(second)], dim=1))
        return torch.relu(merged + self.shortcut(x))


def _branch(channels: int, width: int, stride: int, *, bias: bool) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=bias),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, 3, padding=1, bias=bias),
        nn.BatchNorm2d(width),
    )


def _halve(channels: int, out: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, out, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(inplace=True),
    ]
