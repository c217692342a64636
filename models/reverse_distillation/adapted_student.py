"""ResNet50's own student behind a ConvNeXt teacher: only the teacher differs from rd_resnet50.

The adapters sit on the student's side alone. The targets stay the frozen teacher's own features: a
trained projection of the targets could collapse to a constant and win.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from models.reverse_distillation.resnet_student import SHAPES, ResNetBottleneck, ResNetDecoder

_SHAPE = SHAPES["resnet50"]


class AdaptedBottleneck(nn.Module):
    """The teacher's features brought to ResNet50's widths, then rd_resnet50's bottleneck.

    Args:
        channels: Of the teacher's features by scale.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.adapt = nn.ModuleList(
            nn.Sequential(nn.Conv2d(theirs, ours, 1, bias=False), nn.BatchNorm2d(ours))
            for theirs, ours in zip(channels, _SHAPE.channels, strict=True)
        )
        self.bottleneck = ResNetBottleneck(_SHAPE)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Embed features at strides 4, 8, 16 into ``(B, 2048, h, w)`` at stride 32."""
        adapted = [adapt(scale) for adapt, scale in zip(self.adapt, features, strict=True)]
        embedding: Tensor = self.bottleneck(adapted)
        return embedding


class AdaptedDecoder(nn.Module):
    """rd_resnet50's decoder, brought back to the teacher's widths.

    Args:
        channels: Of the teacher's features by scale.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.decoder = ResNetDecoder(_SHAPE)
        self.project = nn.ModuleList(
            nn.Conv2d(ours, theirs, 1)
            for theirs, ours in zip(channels, _SHAPE.channels, strict=True)
        )

    def forward(self, embedding: Tensor) -> list[Tensor]:
        """Features at strides 4, 8, 16 from ``(B, 2048, h, w)`` at stride 32."""
        decoded = self.decoder(embedding)
        return [project(scale) for project, scale in zip(self.project, decoded, strict=True)]
