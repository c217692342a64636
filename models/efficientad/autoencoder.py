"""EfficientAD's autoencoder (Batzner, Heckler and König, WACV 2024, appendix).

It encodes an image as 64 numbers and predicts the teacher's features from them, and so misses fine
details and arrangements that the training images do not have.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LATENT = 64
"""Numbers that an image is encoded as."""

_BOTTLENECK = 8
"""Side of the last encoding kernel: 256 pixels, halved five times, become one position."""

_DROPOUT = 0.2


class Autoencoder(nn.Module):
    """Network from images to features on the grid of a patch description network.

    Args:
        channels: Number of channels of the features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = (3, 32, 32, 64, 64, LATENT)
        halving = [
            nn.Conv2d(before, after, 4, stride=2, padding=1) for before, after in pairwise(widths)
        ]
        self.encoder = nn.ModuleList(halving)
        self.bottleneck = nn.Conv2d(LATENT, LATENT, _BOTTLENECK)
        self.decoder = nn.ModuleList(nn.Conv2d(LATENT, LATENT, 4, padding=2) for _ in range(6))
        self.smooth = nn.Conv2d(LATENT, LATENT, 3, padding=1)
        self.out = nn.Conv2d(LATENT, channels, 3, padding=1)

    def forward(self, images: Tensor, grid: torch.Size | tuple[int, int]) -> Tensor:
        """Return the predicted features.

        Args:
            images: Normalized images ``(B, 3, H, W)``.
            grid: Height and width ``(h, w)`` of the teacher's features of these images.

        Returns:
            ``(B, C, h, w)``.
        """
        x = images
        for convolution in self.encoder:
            x = F.relu(convolution(x), inplace=True)
        x = self.bottleneck(_padded(x, _BOTTLENECK))
        for convolution, size in zip(self.decoder, _decoder_sizes(images), strict=True):
            x = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
            x = F.dropout(F.relu(convolution(x), inplace=True), _DROPOUT, self.training)
        x = F.interpolate(x, size=tuple(grid), mode="bilinear", align_corners=False)
        features: Tensor = self.out(F.relu(self.smooth(x), inplace=True))
        return features


def _padded(x: Tensor, side: int) -> Tensor:
    """Pad maps with zeros to the size of the bottleneck's kernel, for images below 256 pixels."""
    height, width = (max(0, side - length) for length in x.shape[-2:])
    if not height and not width:
        return x
    return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))


def _decoder_sizes(images: Tensor) -> list[tuple[int, int]]:
    """Return sizes before each decoding convolution: 3, 8, 15, 32, 63 and 127 for 256 pixels."""
    height, width = images.shape[-2:]
    return [
        (max(1, height // divisor - margin), max(1, width // divisor - margin))
        for divisor, margin in ((64, 1), (32, 0), (16, 1), (8, 0), (4, 1), (2, 1))
    ]
