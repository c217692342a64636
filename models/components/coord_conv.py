"""A 1×1 CoordConv (Liu et al., NeurIPS 2018) of a feature pyramid, brought to its finest grid."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

_COORDINATES = 2
"""Channels: the row and the column, each from -1 to 1."""


class CoordConv(nn.Module):
    """What a 1×1 convolution makes of enlarged, concatenated layers and of where each position is.

    Enlarging is linear over positions and the convolution over channels, so each layer is convolved
    on its own grid and its result enlarged: the same numbers to rounding, of wide_resnet50_2's
    layers 1 to 3 with a quarter of the multiplications. Enlarging by matrices has a deterministic
    gradient on a GPU, which interpolation has not.

    Args:
        channels: Of the layers.
        outputs: Channels of the result.
    """

    def __init__(self, channels: Sequence[int], outputs: int) -> None:
        super().__init__()
        self._split = [*channels, _COORDINATES]
        self.conv = nn.Conv2d(sum(self._split), outputs, kernel_size=1)

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        """Descriptors of every position.

        Args:
            layers: ``(B, C, h, w)``, the finest first.

        Returns:
            ``(B, h, w, outputs)`` at the first layer's grid.
        """
        height, width = layers[0].shape[-2:]
        *weights, of_place = self.conv.weight.flatten(1).split(self._split, dim=1)
        places = _coordinates(height, width, layers[0].device)
        result = F.linear(places, of_place, self.conv.bias)
        for layer, weight in zip(layers, weights, strict=True):
            last = rearrange(layer, "b c h w -> b h w c")
            result = result + _enlarged(F.linear(last, weight), height, width)
        return result


def _enlarged(grid: Tensor, height: int, width: int) -> Tensor:
    """Bilinear enlargement of ``(B, h, w, C)`` to ``(B, height, width, C)``."""
    if grid.shape[1:3] == (height, width):
        return grid
    rows = _enlarging_matrix(grid.shape[1], height, grid.device)
    columns = _enlarging_matrix(grid.shape[2], width, grid.device)
    tall = (rows @ grid.flatten(2)).unflatten(2, grid.shape[2:])
    return columns @ tall


@lru_cache(maxsize=32)
def _enlarging_matrix(small: int, large: int, device: torch.device) -> Tensor:
    """``(large, small)`` float32: bilinear interpolation, ``align_corners=False``."""
    # Cached, so it must not be an inference tensor, wherever it was first asked for.
    with torch.inference_mode(False), torch.no_grad():
        identity = torch.eye(small, dtype=torch.float64)
        enlarged = F.interpolate(
            identity[None, None], size=(large, small), mode="bilinear", align_corners=False
        )
        return enlarged[0, 0].float().to(device)


@lru_cache(maxsize=32)
def _coordinates(height: int, width: int, device: torch.device) -> Tensor:
    """``(height, width, 2)`` float32."""
    with torch.inference_mode(False), torch.no_grad():
        axes = (torch.linspace(-1, 1, height), torch.linspace(-1, 1, width))
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).to(device)
