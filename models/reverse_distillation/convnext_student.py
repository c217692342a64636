"""Students of Reverse Distillation for a ConvNeXt teacher (designs of the original study).

Names and shapes of `ConvNeXtBottleneck` and `ConvNeXtDecoder` are those of the original
checkpoints. `AdaptedBottleneck` and `AdaptedDecoder` combine a ConvNeXt teacher with the student of
rd_resnet50, so that only the teacher differs. Adapters are only on the student's side: a trained
projection of the targets could collapse to a constant.
"""

from collections.abc import Sequence

import torch
from timm.layers.norm import LayerNorm2d
from timm.models.convnext import ConvNeXtBlock
from torch import Tensor, nn

from models.components.gradient_checkpointing import Stage
from models.reverse_distillation.resnet_student import SHAPES, ResNetBottleneck, ResNetDecoder

_RESNET50 = SHAPES["resnet50"]
_GROUPS = 32
_LAYER_SCALE = 1e-6
_BLOCKS = 2


class ConvNeXtBottleneck(nn.Module):
    """Bottleneck that downsamples features to stride 16, concatenates and fuses them to stride 32.

    Args:
        channels: Numbers of channels of the teacher's features by scale.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        low, middle, high = channels
        self.process1 = Stage(*_halve(low, middle), *_halve(middle, high))
        self.process2 = Stage(*_halve(middle, high))
        self.process3 = Stage(*_conv(high, high, kernel=3))
        self.fusion = Stage(*_conv(3 * high, 2 * high, kernel=1), *_halve(2 * high, 2 * high))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Embed features at strides 4, 8, 16 into ``(B, 2C, h, w)`` at stride 32."""
        low, middle, high = features
        processed = [self.process1(low), self.process2(middle), self.process3(high)]
        embedding: Tensor = self.fusion(torch.cat(processed, dim=1))
        return embedding


class _UpwardDecoder(nn.Module):
    """Three upsampling stages, each read out by a 1×1 convolution."""

    up1: Stage
    up2: Stage
    up3: Stage

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        low, middle, high = channels
        self.up1 = self._up(2 * high, high)
        self.up2 = self._up(high, middle)
        self.up3 = self._up(middle, low)
        self.out1 = nn.Conv2d(low, low, 1)
        self.out2 = nn.Conv2d(middle, middle, 1)
        self.out3 = nn.Conv2d(high, high, 1)

    def _up(self, channels: int, out: int) -> Stage:
        raise NotImplementedError

    def forward(self, embedding: Tensor) -> list[Tensor]:
        """Decode features at strides 4, 8, 16 from ``(B, 2C, h, w)`` at stride 32."""
        high = self.up1(embedding)
        middle = self.up2(high)
        low = self.up3(middle)
        return [self.out1(low), self.out2(middle), self.out3(high)]


class ConvNeXtDecoder(_UpwardDecoder):
    """The original study's decoder: plain convolutions with GroupNorm and GELU.

    Args:
        channels: Numbers of channels of the teacher's features by scale.
    """

    def _up(self, channels: int, out: int) -> Stage:
        doubling = nn.ConvTranspose2d(channels, out, 2, stride=2, bias=False)
        return Stage(doubling, nn.GroupNorm(_GROUPS, out), nn.GELU(), *_conv(out, out, kernel=3))


class ConvNeXtBlockDecoder(_UpwardDecoder):
    """ConvNeXt in reverse: LayerNorm and a transposed convolution, then two ConvNeXt blocks.

    Initialized as ConvNeXt is: truncated normal of deviation 0.02, biases zero.

    Args:
        channels: Numbers of channels of the teacher's features by scale.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__(channels)
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def _up(self, channels: int, out: int) -> Stage:
        return Stage(
            LayerNorm2d(channels),
            nn.ConvTranspose2d(channels, out, 2, stride=2),
            *(ConvNeXtBlock(out, ls_init_value=_LAYER_SCALE) for _ in range(_BLOCKS)),
        )


class AdaptedBottleneck(nn.Module):
    """Projections of the teacher's features to ResNet50's widths, then rd_resnet50's bottleneck.

    Args:
        channels: Numbers of channels of the teacher's features by scale.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.adapt = nn.ModuleList(
            nn.Sequential(nn.Conv2d(theirs, ours, 1, bias=False), nn.BatchNorm2d(ours))
            for theirs, ours in zip(channels, _RESNET50.channels, strict=True)
        )
        self.bottleneck = ResNetBottleneck(_RESNET50)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Embed features at strides 4, 8, 16 into ``(B, 2048, h, w)`` at stride 32."""
        adapted = [adapt(scale) for adapt, scale in zip(self.adapt, features, strict=True)]
        embedding: Tensor = self.bottleneck(adapted)
        return embedding


class AdaptedDecoder(nn.Module):
    """rd_resnet50's decoder, then projections to the teacher's widths.

    Args:
        channels: Numbers of channels of the teacher's features by scale.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.decoder = ResNetDecoder(_RESNET50)
        self.project = nn.ModuleList(
            nn.Conv2d(ours, theirs, 1)
            for theirs, ours in zip(channels, _RESNET50.channels, strict=True)
        )

    def forward(self, embedding: Tensor) -> list[Tensor]:
        """Decode features at strides 4, 8, 16 from ``(B, 2048, h, w)`` at stride 32."""
        decoded = self.decoder(embedding)
        return [project(scale) for project, scale in zip(self.project, decoded, strict=True)]


def _conv(channels: int, out: int, *, kernel: int, stride: int = 1) -> list[nn.Module]:
    padding = kernel // 2 if stride == 1 else 0
    return [
        nn.Conv2d(channels, out, kernel, stride=stride, padding=padding, bias=False),
        nn.GroupNorm(_GROUPS, out),
        nn.GELU(),
    ]


def _halve(channels: int, out: int) -> list[nn.Module]:
    return _conv(channels, out, kernel=2, stride=2)
