"""Choosing images and mixing them by masks, without going pixel by pixel.

On a CPU torch walks channels_last tensors in runs of 3 bytes whenever one operand lacks the
channels or the images are indexed. As rows the same work runs over whole stretches of memory.
"""

import torch
from torch import Tensor

from datasets_lib.augment.augmentation import memory_format


def select(images: Tensor, index: Tensor) -> Tensor:
    """``images[index]``: 256 images of 32 px in 0.03 ms against 0.5 by indexing, on one core.

    Args:
        images: (N, C, H, W).
        index: int64 (B,), on the same device.

    Returns:
        (B, C, H, W), in the images' memory format.
    """
    count, channels, height, width = images.shape
    if memory_format(images) != torch.channels_last:
        return images.index_select(0, index)
    rows = images.permute(0, 2, 3, 1).view(count, height * width * channels)
    chosen = rows.index_select(0, index)
    return chosen.view(len(index), height, width, channels).permute(0, 3, 1, 2)


def where_masked(mask: Tensor, inside: Tensor, outside: Tensor) -> Tensor:
    """``torch.where`` with one mask for all channels, in the memory format of ``outside``.

    Args:
        mask: Bool (B or 1, H, W).
        inside: (B, C, H, W).
        outside: (B, C, H, W), of the same dtype.
    """
    if memory_format(outside) != torch.channels_last:
        return torch.where(mask[:, None], inside, outside).contiguous()
    batch, channels, height, width = outside.shape

    def rows(images: Tensor) -> Tensor:
        return images.permute(0, 2, 3, 1).reshape(batch, height, width * channels)

    result = torch.where(mask.repeat_interleave(channels, 2), rows(inside), rows(outside))
    return result.view(batch, height, width, channels).permute(0, 3, 1, 2)
