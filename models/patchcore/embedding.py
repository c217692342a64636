"""PatchCore's patch features: two layers brought to one grid, each position with its neighbors."""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_DIMENSION = 1024
_PATCH = 9


class PooledEmbedding(nn.Module):
    """Features as in the paper's code: 3×3 patches pooled to 1024 a layer, then to 1024 of both.

    There, a patch of C channels is a vector of 9 C numbers, channel by channel, whose adaptive
    average to 1024 is taken, and then that of both layers' numbers in a row. All of it is linear,
    and each number that comes of it averages the patches of one or two neighboring channels, or a
    part of one's. So it is a convolution of these channels with 3×3 kernels of its own, at the
    layer's own resolution: nothing is unfolded, which would be nine times as large.

    Attributes:
        channels: Of the outcome.

    Args:
        channels: Of the two layers.
    """

    channels: int

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = _DIMENSION
        self.pooling = nn.ModuleList(_Pooling(each, len(channels)) for each in channels)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """``(B, 1024, h, w)`` of layers ``(B, C, h, w)``, on the first one's grid."""
        return _joined(
            [pool(layer.float()) for pool, layer in zip(self.pooling, features, strict=True)]
        )


class ConcatenatedEmbedding(nn.Module):
    """Features as in anomalib: each layer's 3×3 averages, one after the other.

    Attributes:
        channels: Of the outcome.

    Args:
        channels: Of the two layers.
    """

    channels: int

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = sum(channels)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """``(B, ΣC, h, w)`` of layers ``(B, C, h, w)``, on the first one's grid."""
        return _joined([F.avg_pool2d(layer.float(), 3, stride=1, padding=1) for layer in features])


class _Pooling(nn.Module):
    """What one layer adds to the pooled features: depthwise convolutions."""

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        outputs = _DIMENSION // layers
        if channels % outputs and outputs % channels:
            raise ValueError(
                f"PatchCore's pooled features need layers of a multiple or a divisor of {outputs} "
                f"channels, as ResNets have: found {channels}. Choose the concatenated features."
            )
        self._step = max(1, channels // outputs)
        # Output o averages as many bins as there are layers, of the 1024 that a patch is pooled to;
        # they lie within `step` channels from this one on, or within a part of it.
        first = torch.arange(outputs) * channels // outputs
        places = first[:, None, None] * _PATCH + torch.arange(self._step * _PATCH)
        bins = torch.arange(_DIMENSION).view(outputs, layers, 1)
        begin = bins * channels * _PATCH // _DIMENSION
        end = -(-(bins + 1) * channels * _PATCH // _DIMENSION)
        weights = ((places >= begin) & (places < end)) / (end - begin)  # (512, layers, 9 step)
        kernels = weights.mean(dim=1).view(outputs, self._step, 1, 3, 3)
        self.kernels: Tensor
        self.register_buffer("kernels", kernels.transpose(0, 1).contiguous(), persistent=False)

    def forward(self, layer: Tensor) -> Tensor:
        """``(B, 512, h, w)`` of ``(B, C, h, w)``."""
        groups = layer.shape[1] // self._step
        parts = (
            F.conv2d(layer[:, offset :: self._step], kernels, padding=1, groups=groups)
            for offset, kernels in enumerate(self.kernels)
        )
        return functools.reduce(torch.add, parts)


def _joined(layers: Sequence[Tensor]) -> Tensor:
    first, *others = layers
    enlarged = (
        F.interpolate(layer, size=first.shape[-2:], mode="bilinear", align_corners=False)
        for layer in others
    )
    return torch.cat([first, *enlarged], dim=1)
