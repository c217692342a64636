"""What a patch description network is distilled from: PatchCore's features of a frozen backbone.

PatchCore (Roth et al., CVPR 2022) takes each position's 3 by 3 neighborhood, pools its numbers to
1024 a layer, brings the layers to one grid, and pools all layers' numbers together
to as many as are wanted; EfficientAD's teacher learns 384 of them. Every step of it is linear and
treats all positions alike, so that here each layer's are one convolution with fixed weights.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.components.backbone import Backbone
from models.efficientad.pdn import FEATURES

_POOLED = 1024
"""Numbers of a layer before all layers are pooled together."""

_PATCH = 3


class PatchTargets(nn.Module):
    """Features of a frozen backbone as a patch description network is to give them.

    Args:
        backbone: Its tapped layers, at most four, are weighted alike.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        layers = len(backbone.channels)
        joint = averaging(layers * _POOLED, FEATURES)
        for number, channels in enumerate(backbone.channels):
            # No average spans two layers, for 384 is a multiple of one to four of them.
            rows = slice(number * FEATURES // layers, (number + 1) * FEATURES // layers)
            columns = slice(number * _POOLED, (number + 1) * _POOLED)
            weights = joint[rows, columns] @ averaging(channels * _PATCH**2, _POOLED)
            kernel = weights.view(-1, channels, _PATCH, _PATCH).float()
            self.register_buffer(f"kernel{number}", kernel)

    @torch.no_grad()
    def forward(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        """Features ``(B, 384, h, w)`` of pictures ``(B, 3, H, W)`` in [0, 1].

        Args:
            images: Of twice the size that the network will see.
            grid: ``(h, w)``; that of layer 2, H / 8 and W / 8, needs no resizing.
        """
        features = self.backbone(images)
        maps = []
        for kernel, layer in zip(self.buffers(recurse=False), features, strict=True):
            pooled = F.conv2d(layer, kernel, padding=_PATCH // 2)
            maps.append(F.interpolate(pooled, grid, mode="bilinear", align_corners=False))
        return torch.cat(maps, dim=1)


def averaging(numbers: int, wanted: int) -> Tensor:
    """``(wanted, numbers)`` float64: what adaptive average pooling does to that many numbers."""
    place = torch.arange(wanted)
    begin = place * numbers // wanted
    end = -(-(place + 1) * numbers // wanted)
    column = torch.arange(numbers)
    inside = (column >= begin[:, None]) & (column < end[:, None])
    return inside.double() / (end - begin)[:, None]
