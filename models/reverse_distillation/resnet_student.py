"""Reverse Distillation's one-class bottleneck and mirrored residual decoder (Deng and Li, 2022).

Parameter names and shapes are those of the official checkpoints, so that these load.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from models.components.gradient_checkpointing import Stage

Resample = Literal["down", "up"]


@dataclass(frozen=True)
class ResNetShape:
    """Hyperparameters of a ResNet student.

    Attributes:
        expansion: Ratio of output channels to planes: 1 for basic blocks, 4 for bottlenecks.
        embedding_blocks: Number of residual blocks of the one-class embedding.
        decoder_blocks: Numbers of residual blocks of the decoder's stages, strides 16 to 4.
        base_width: Width of a bottleneck's inner convolutions at 64 planes.
    """

    expansion: Literal[1, 4]
    embedding_blocks: int
    decoder_blocks: tuple[int, int, int]
    base_width: int = 64

    @property
    def channels(self) -> tuple[int, int, int]:
        """Numbers of feature channels at strides 4, 8 and 16."""
        return 64 * self.expansion, 128 * self.expansion, 256 * self.expansion


SHAPES = {
    "resnet18": ResNetShape(1, 2, (2, 2, 2)),
    "resnet50": ResNetShape(4, 3, (3, 4, 6)),
    "wide_resnet50_2": ResNetShape(4, 3, (3, 4, 6), base_width=128),
}


class ResNetBottleneck(nn.Module):
    """Multi-scale feature fusion, then one-class embedding.

    Args:
        shape: Hyperparameters of the teacher it mirrors.
    """

    def __init__(self, shape: ResNetShape) -> None:
        super().__init__()
        low, middle, high = shape.channels
        embedding = 2 * high
        self.bn_layer = _stage(
            shape, 3 * high, embedding // shape.expansion, shape.embedding_blocks, "down"
        )
        self.conv1, self.bn1 = _spatial(low, middle, "down"), nn.BatchNorm2d(middle)
        self.conv2, self.bn2 = _spatial(middle, high, "down"), nn.BatchNorm2d(high)
        self.conv3, self.bn3 = _spatial(middle, high, "down"), nn.BatchNorm2d(high)
        # Never called in the official code either, but part of its checkpoints.
        self.conv4 = nn.Conv2d(4 * high, embedding, 1, bias=False)
        self.bn4 = nn.BatchNorm2d(embedding)
        self.relu = nn.ReLU(inplace=True)
        _initialize(self)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Embed features at strides 4, 8, 16 into ``(B, 2C, h, w)`` at stride 32."""
        low, middle, high = features
        low = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(low))))))
        middle = self.relu(self.bn3(self.conv3(middle)))
        embedding: Tensor = self.bn_layer(torch.cat([low, middle, high], dim=1))
        return embedding


class ResNetDecoder(nn.Module):
    """Mirror image of the teacher: residual stages that upsample where the teacher downsamples.

    Args:
        shape: Hyperparameters of the teacher it mirrors.
    """

    def __init__(self, shape: ResNetShape) -> None:
        super().__init__()
        _, middle, high = shape.channels
        blocks = shape.decoder_blocks
        self.layer1 = _stage(shape, 2 * high, 256, blocks[0], "up")
        self.layer2 = _stage(shape, high, 128, blocks[1], "up")
        self.layer3 = _stage(shape, middle, 64, blocks[2], "up")
        _initialize(self)

    def forward(self, embedding: Tensor) -> list[Tensor]:
        """Decode features at strides 4, 8, 16 from ``(B, 2C, h, w)`` at stride 32."""
        high = self.layer1(embedding)
        middle = self.layer2(high)
        return [self.layer3(middle), middle, high]


class _ResidualBlock(nn.Module):
    """A basic block (expansion 1) or a bottleneck (expansion 4), optionally resampling.

    The shortcut is registered as ``downsample`` or ``upsample``, the official names.
    """

    def __init__(
        self, shape: ResNetShape, channels: int, planes: int, resample: Resample | None
    ) -> None:
        super().__init__()
        out = planes * shape.expansion
        if shape.expansion == 1:
            self.conv1, self.bn1 = _spatial(channels, out, resample), nn.BatchNorm2d(out)
            self.conv2, self.bn2 = _spatial(out, out, None), nn.BatchNorm2d(out)
            self._layers = 2
        else:
            width = planes * shape.base_width // 64
            self.conv1, self.bn1 = nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
            self.conv2, self.bn2 = _spatial(width, width, resample), nn.BatchNorm2d(width)
            self.conv3, self.bn3 = nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out)
            self._layers = 3
        self.relu = nn.ReLU(inplace=True)
        self._shortcut = f"{resample}sample" if resample else None
        if self._shortcut:
            self.add_module(self._shortcut, _shortcut(channels, out, resample))

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for layer in range(1, self._layers + 1):
            out = getattr(self, f"bn{layer}")(getattr(self, f"conv{layer}")(out))
            if layer < self._layers:
                out = self.relu(out)
        out += getattr(self, self._shortcut)(x) if self._shortcut else x
        activated: Tensor = self.relu(out)
        return activated


def _stage(
    shape: ResNetShape, channels: int, planes: int, blocks: int, resample: Resample
) -> Stage:
    rest = (
        _ResidualBlock(shape, planes * shape.expansion, planes, None) for _ in range(blocks - 1)
    )
    return Stage(_ResidualBlock(shape, channels, planes, resample), *rest)


def _spatial(channels: int, out: int, resample: Resample | None) -> nn.Module:
    if resample == "up":
        return nn.ConvTranspose2d(channels, out, 2, stride=2, bias=False)
    return nn.Conv2d(channels, out, 3, stride=2 if resample else 1, padding=1, bias=False)


def _shortcut(channels: int, out: int, resample: Resample | None) -> nn.Sequential:
    if resample == "up":
        return nn.Sequential(_spatial(channels, out, "up"), nn.BatchNorm2d(out))
    return nn.Sequential(nn.Conv2d(channels, out, 1, stride=2, bias=False), nn.BatchNorm2d(out))


def _initialize(module: nn.Module) -> None:
    """Initialize as the official code: He's for convolutions, PyTorch's for transposed ones."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
