"""PatchCore's patch features: two layers on one grid, averaged over neighboring positions."""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_DIMENSION = 1024
_PATCH = 9  # positions of a 3×3 patch


class PooledEmbedding(nn.Module):
    """Features of the official code: each layer's 3×3 patches pooled to 1024, then both to 1024.

    There, a patch of C channels is a vector of 9 C numbers, channel by channel. Adaptive averaging
    pools it to 1024, and then the concatenated vectors of both layers. All of this is linear, and
    each output averages a part of one channel's patch or the patches of a few adjacent channels: a
    grouped 3×3 convolution at the layer's own resolution, without the ninefold memory of unfolding.

    Attributes:
        channels: Number of output channels.

    Args:
        channels: Number of channels of each layer.
    """

    channels: int

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = _DIMENSION
        self.pooling = nn.ModuleList(_Pooling(each, len(channels)) for each in channels)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return ``(B, 1024, h, w)`` features on the grid of the first of the layers."""
        return _joined(
            [pool(layer.float()) for pool, layer in zip(self.pooling, features, strict=True)]
        )


class ConcatenatedEmbedding(nn.Module):
    """Features of anomalib: the 3×3 averages of all layers, concatenated.

    Attributes:
        channels: Number of output channels.

    Args:
        channels: Number of channels of each layer.
    """

    channels: int

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = sum(channels)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return ``(B, ΣC, h, w)`` features on the grid of the first of the layers."""
        return _joined([F.avg_pool2d(layer.float(), 3, stride=1, padding=1) for layer in features])


class _Pooling(nn.Module):
    """Grouped convolutions that pool one layer to its share of the features."""

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        outputs = _DIMENSION // layers
        if channels % outputs and outputs % channels:
            raise ValueError(
                f"PatchCore's pooled features need layers of a multiple or a divisor of {outputs} "
                f"channels, as ResNets have: found {channels}. Choose the concatenated features."
            )
        self._step = max(1, channels // outputs)
        # Output o averages `layers` consecutive bins of the 1024 that a patch of 9 C numbers is
        # pooled to. Bin b covers the numbers from ⌊9 C b / 1024⌋ to ⌈9 C (b + 1) / 1024⌉; those of
        # an output lie within `step` channels from `first` on.
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
        """Pool ``(B, C, h, w)`` to ``(B, 1024 / layers, h, w)``."""
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
