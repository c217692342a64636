"""Color jitter: brightness, contrast and saturation, with separate factors per image."""

from dataclasses import dataclass

import torch
from torch import Tensor

from datasets_lib.augment.augmentation import Targets, memory_format
from datasets_lib.augment.random_streams import RandomStreams

LUMA = 0.2989, 0.587, 0.114
"""Weights of red, green and blue in gray (ITU-R BT.601, rounded as Pillow and torchvision do)."""


@dataclass(frozen=True)
class ColorJitter:
    """Random changes of an image's colors, in the order of the attributes; masks are unchanged.

    Attributes:
        brightness: Factors are uniform in [1 − brightness, 1 + brightness].
        contrast: Factors are uniform in [1 − contrast, 1 + contrast].
        saturation: Factors are uniform in [1 − saturation, 1 + saturation].
    """

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2

    def __call__(
        self, images: Tensor, targets: Targets, streams: RandomStreams
    ) -> tuple[Tensor, Targets]:
        """Return images of the same dtype; uint8 images are rounded once, at the end."""
        is_uint8 = images.dtype == torch.uint8
        result = images.contiguous()  # planes, since saturation works channel by channel
        if is_uint8:
            result = result.to(torch.float32).div_(255)
        for name, step, width in (
            ("brightness", adjust_brightness, self.brightness),
            ("contrast", adjust_contrast, self.contrast),
            ("saturation", adjust_saturation, self.saturation),
        ):
            if width:
                factor = streams.fold_in(name).uniform(low=1 - width, high=1 + width)
                result = step(result, factor)
        if is_uint8:
            result = (result * 255).round_().to(torch.uint8)
        return result.contiguous(memory_format=memory_format(images)), targets


def gray(images: Tensor) -> Tensor:
    """Return the luma (B, 1, H, W) of images (B, 3, H, W)."""
    red, green, blue = images.unbind(1)
    return (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue)[:, None]


def blend(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """Blend ``share`` (B,) of the first with the rest of the second, clamped to [0, 1]."""
    share = share[:, None, None, None]
    return (share * first + (1 - share) * second).clamp_(0, 1)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Scale float images in [0, 1] by (B,) factors and clamp them."""
    return (images * factor[:, None, None, None]).clamp_(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Move images away from (factor > 1) or toward their mean gray.

    The mean is a sum of integers: a sum of floats would depend on the size of the batch.
    """
    levels = 1 << 24
    total = (gray(images) * levels).long().sum(dim=(1, 2, 3), keepdim=True)
    mean = total.to(images.dtype) / (levels * images.shape[2] * images.shape[3])
    return blend(images, mean, factor)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Move images away from (factor > 1) or toward gray."""
    return blend(images, gray(images), factor)
