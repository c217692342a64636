"""Operations on single pixel values as tables of 256 values, one an image and channel.

A batch in which every image has another operation is then one gather. Results are those of
torchvision's uint8 kernels, which truncate where they blend.
"""

import torch
from torch import Tensor


def apply_tables(images: Tensor, tables: Tensor) -> Tensor:
    """uint8 (B, C, H, W) through tables (B, C, 256) of whole numbers in [0, 255]."""
    values = images.flatten(2).long()
    return tables.to(torch.uint8).gather(2, values).view(images.shape)


def histograms(images: Tensor) -> Tensor:
    """int64 (B, C, 256), how often each value occurs in uint8 (B, C, H, W)."""
    values = images.flatten(2).long()
    counts = values.new_zeros((*images.shape[:2], 256))
    return counts.scatter_add_(2, values, torch.ones_like(values))


def levels(images: Tensor) -> Tensor:
    """float32 (256,), the values themselves."""
    return torch.arange(256, device=images.device, dtype=torch.float32)


def blended(values: Tensor, other: Tensor | float, factor: Tensor) -> Tensor:
    """``factor`` of the values and the rest of the other, clamped to [0, 255] and truncated.

    In Pillow's form, where a value and the same other are that value whatever the rounding.
    """
    return (other + factor * (values - other)).clamp_(0, 255).floor_()


def posterized(values: Tensor, bits: int) -> Tensor:
    """The values' highest bits."""
    step = 1 << (8 - bits)
    return (values / step).floor() * step


def solarized(values: Tensor, threshold: float) -> Tensor:
    """Values from the threshold on, inverted."""
    return torch.where(values >= threshold, 255 - values, values)


def autocontrasted(values: Tensor, histogram: Tensor) -> Tensor:
    """(B, C, 256), stretched so that each channel's lowest value is 0 and its highest 255."""
    present = histogram > 0
    low = torch.where(present, values, 255.0).amin(2, keepdim=True)
    high = torch.where(present, values, 0.0).amax(2, keepdim=True)
    flat = high <= low
    scale = torch.where(flat, 1.0, (high - low) / 255)
    stretched = (values - torch.where(flat, 0.0, low)) / scale
    return stretched.clamp_(0, 255).floor_()


def equalized(values: Tensor, histogram: Tensor) -> Tensor:
    """(B, C, 256), Pillow's histogram equalization, in whole numbers."""
    present = histogram > 0
    highest = torch.where(present, torch.arange(256, device=values.device), 0).amax(2, keepdim=True)
    step = (histogram.sum(2, keepdim=True) - histogram.gather(2, highest)) // 255
    below = histogram.cumsum(2) - histogram
    table = ((below + step // 2) // step.clamp_min(1)).clamp_(0, 255)
    return torch.where(step > 0, table, values)
