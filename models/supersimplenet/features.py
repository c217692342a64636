"""SuperSimpleNet's features: two layers upsampled, averaged over neighbors and adapted."""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_PATCH = 3
"""Side of the neighborhood that features are averaged over."""


class AdaptedFeatures(nn.Module):
    """A linear map of upsampled and averaged features.

    Upsampling, averaging and the linear map commute, so each layer is mapped at its own size, which
    takes an eighth of the operations that mapping the upsampled features does, for the same numbers
    up to rounding.

    Args:
        channels: Numbers of channels of the layers; their sum is that of the result.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self._channels = list(channels)
        self.projection = nn.Conv2d(sum(channels), sum(channels), 1)
        nn.init.xavier_normal_(self.projection.weight)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return adapted features ``(B, C, 2h, 2w)``.

        Args:
            features: ``(B, C, h, w)`` by layer, the largest first.
        """
        height, width = features[0].shape[-2:]
        size = (2 * height, 2 * width)
        weights = self.projection.weight.split(self._channels, dim=1)
        mapped = [F.conv2d(x, weight) for x, weight in zip(features, weights, strict=True)]
        large = [F.interpolate(x, size, mode="bilinear", align_corners=True) for x in mapped]
        total = reduce(torch.add, large)  # a stack would lose the channels-last format
        averaged = F.avg_pool2d(total, _PATCH, stride=1, padding=_PATCH // 2)
        # The bias comes last, because the average counts zeros beyond the border.
        return averaged + self.projection.bias[:, None, None]


def downsampled_masks(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Return bool masks ``(B, h, w)`` that are set where at least half of a defect's share is.

    Args:
        masks: ``(B, H, W)``, bool or 0 and 1.
        size: ``(h, w)``.
    """
    small = F.interpolate(masks[:, None].float(), size, mode="bilinear", align_corners=False)
    return small[:, 0] >= 0.5


def mean_where(values: Tensor, where: Tensor) -> Tensor:
    """Return the mean of values at the marked positions, 0 if none is; never waits for a device."""
    marked = where.to(values.dtype)
    return (values * marked).sum() / marked.sum().clamp_min(1)
