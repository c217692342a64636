"""Target features of a patch description network: PatchCore's features of a frozen backbone.

PatchCore (Roth et al., CVPR 2022) takes the 3 by 3 neighborhood of each position, pools its values
to 1024 per layer, brings the layers to one grid, and pools the values of all layers to the wanted
number; EfficientAD's teacher learns 384. Every step is linear and the same at all positions, so
here each layer's share is one convolution with fixed weights.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.components.backbone import Backbone
from models.efficientad.pdn import FEATURES

_POOLED = 1024
"""Values of a layer before all layers are pooled together."""

_PATCH = 3


class PatchTargets(nn.Module):
    """Features of a frozen backbone that a patch description network is trained to reproduce.

    Args:
        backbone: The backbone; its tapped layers, at most four, have equal shares.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        layers = len(backbone.channels)
        joint = pooling_matrix(layers * _POOLED, FEATURES)
        for number, channels in enumerate(backbone.channels):
            # 384 is a multiple of 1, 2, 3 and 4: no pooling window spans two layers.
            rows = slice(number * FEATURES // layers, (number + 1) * FEATURES // layers)
            columns = slice(number * _POOLED, (number + 1) * _POOLED)
            weights = joint[rows, columns] @ pooling_matrix(channels * _PATCH**2, _POOLED)
            kernel = weights.view(-1, channels, _PATCH, _PATCH).float()
            self.register_buffer(f"kernel{number}", kernel)

    @torch.no_grad()
    def forward(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return features ``(B, 384, h, w)`` of images ``(B, 3, H, W)`` in [0, 1].

        Args:
            images: Images of twice the size that the network will see.
            grid: ``(h, w)``; layer 2, of H / 8 and W / 8, then needs no resizing.
        """
        features = self.backbone(images)
        maps = []
        for kernel, layer in zip(self.buffers(recurse=False), features, strict=True):
            pooled = F.conv2d(layer, kernel, padding=_PATCH // 2)
            maps.append(F.interpolate(pooled, grid, mode="bilinear", align_corners=False))
        return torch.cat(maps, dim=1)


def pooling_matrix(inputs: int, outputs: int) -> Tensor:
    """Return adaptive average pooling as a matrix ``(outputs, inputs)``, float64.

    >>> pooling_matrix(3, 2).tolist()
    [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]
    """
    place = torch.arange(outputs)
    # Output i averages the inputs from floor(i n / m) up to ceil((i + 1) n / m), as PyTorch does.
    begin = place * inputs // outputs
    end = -(-(place + 1) * inputs // outputs)
    column = torch.arange(inputs)
    inside = (column >= begin[:, None]) & (column < end[:, None])
    return inside.double() / (end - begin)[:, None]
