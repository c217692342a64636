"""Color jitter: brightness, contrast, saturation and hue, each image by its own factors."""

from dataclasses import dataclass

import torch
from torch import Tensor

from datasets_lib.augment.augmentation import Targets, memory_format
from datasets_lib.augment.random_streams import RandomStreams

LUMA = 0.2989, 0.587, 0.114
"""Weights of red, green and blue in gray (ITU-R BT.601, rounded as Pillow and torchvision do)."""


@dataclass(frozen=True)
class ColorJitter:
    """Changes colors of images, never masks; always in the order of the attributes.

    Attributes:
        brightness: Factors are uniform in [1 − brightness, 1 + brightness].
        contrast: Likewise.
        saturation: Likewise.
        hue: The hue turns by a share of the circle uniform in [−hue, hue].
    """

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.0

    def __call__(
        self, images: Tensor, targets: Targets, streams: RandomStreams
    ) -> tuple[Tensor, Targets]:
        """Images of the same dtype; uint8 ones are rounded once, at the end."""
        is_uint8 = images.dtype == torch.uint8
        result = images.contiguous()  # whole planes, for what goes channel by channel
        if is_uint8:
            result = result.to(torch.float32).div_(255)
        for name, step, width in (
            ("brightness", adjust_brightness, self.brightness),
            ("contrast", adjust_contrast, self.contrast),
            ("saturation", adjust_saturation, self.saturation),
        ):
            if width:
                result = step(result, streams.fold_in(name).uniform(low=1 - width, high=1 + width))
        if self.hue:
            result = adjust_hue(
                result, streams.fold_in("hue").uniform(low=-self.hue, high=self.hue)
            )
        if is_uint8:
            result = (result * 255).round_().to(torch.uint8)
        return result.contiguous(memory_format=memory_format(images)), targets


def gray(images: Tensor) -> Tensor:
    """(B, 1, H, W) of (B, 3, H, W), the luma."""
    red, green, blue = images.unbind(1)
    return (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue)[:, None]


def blend(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """``share`` (B,) of the first and the rest of the second, clamped to [0, 1]."""
    share = share[:, None, None, None]
    return (share * first + (1 - share) * second).clamp_(0, 1)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Float images in [0, 1] times (B,) factors, clamped."""
    return (images * factor[:, None, None, None]).clamp_(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Away from (factor > 1) or toward the mean gray of each image.

    The mean is a sum of integers: a sum of floats would depend on how many images share a batch.
    """
    levels = 1 << 24
    total = (gray(images) * levels).long().sum(dim=(1, 2, 3), keepdim=True)
    mean = total.to(images.dtype) / (levels * images.shape[2] * images.shape[3])
    return blend(images, mean, factor)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Away from (factor > 1) or toward gray."""
    return blend(images, gray(images), factor)


def adjust_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turns the hue of float images in [0, 1] by (B,) shares of the color circle.

    Hue, saturation and value as in A. R. Smith: Color gamut transform pairs, SIGGRAPH 1978.
    """
    value, lowest = images.amax(1), images.amin(1)
    chroma = value - lowest
    red, green, blue = images.unbind(1)
    divisor = torch.where(chroma > 0, chroma, 1.0)
    sixth = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    sixth = sixth + 6 * turn[:, None, None]
    # Each channel stays at `value` for two sixths of the circle, falls, stays low, and rises.
    channels = (
        value - chroma * (torch.minimum(k, 4 - k).clamp_(0, 1))
        for k in ((offset + sixth) % 6 for offset in (5, 3, 1))
    )
    return torch.stack(tuple(channels), dim=1)
