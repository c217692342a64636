"""SuperSimpleNet's two heads: a map per position, and a score per image that reads the map."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_HIDDEN = 1024
_SCORE_CHANNELS = 128
_KERNEL = 5


class Heads(nn.Module):
    """Segmentation and classification head; both return logits, positive for defects.

    Args:
        channels: Number of channels of the adapted features.
        stop_gradient: Whether the classification head passes no gradient to the segmentation head.
    """

    def __init__(self, channels: int, stop_gradient: bool) -> None:
        super().__init__()
        self._stop_gradient = stop_gradient
        self.segmentation = nn.Sequential(
            nn.Conv2d(channels, _HIDDEN, 1),
            nn.BatchNorm2d(_HIDDEN),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(_HIDDEN, 1, 1, bias=False),
        )
        self.classification = nn.Sequential(
            nn.Conv2d(channels + 1, _SCORE_CHANNELS, _KERNEL, padding=_KERNEL // 2),
            nn.BatchNorm2d(_SCORE_CHANNELS),
            nn.ReLU(inplace=True),
        )
        self.score = nn.Linear(2 * _SCORE_CHANNELS + 2, 1)
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.xavier_normal_(layer.weight)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return maps ``(B, h, w)`` and scores ``(B,)`` of adapted features ``(B, C, h, w)``."""
        maps = self.segmentation(features)
        read = maps.detach() if self._stop_gradient else maps
        hidden = self.classification(torch.cat([features, read], dim=1))
        pooled = [
            pool(source, 1).flatten(1)
            for source in (hidden, read)
            for pool in (F.adaptive_max_pool2d, F.adaptive_avg_pool2d)
        ]
        return maps[:, 0], self.score(torch.cat(pooled, dim=1))[:, 0]
