"""Small random changes of color, independent for each image, for EfficientAD's training.

Draws come from torch's global generator on the images' device, without waiting for the device.
"""

import torch
from torch import Tensor

BRIGHTNESS, CONTRAST, SATURATION = range(3)

_LUMA = (0.2989, 0.587, 0.114)
"""Shares of red, green and blue in gray (ITU-R 601, as torchvision rounds them)."""


def jitter(images: Tensor, strength: float = 0.2) -> Tensor:
    """Change brightness, contrast or saturation, one of them drawn, by a factor drawn uniformly.

    Args:
        images: ``(B, 3, H, W)`` in [0, 1].
        strength: Factors are in [1 - strength, 1 + strength].

    Returns:
        The same shape, clipped to [0, 1].
    """
    shape = (len(images), 1, 1, 1)
    kind = torch.randint(3, shape, device=images.device)
    factor = torch.empty(shape, device=images.device).uniform_(1 - strength, 1 + strength)
    return jittered(images, kind, factor)


def jittered(images: Tensor, kind: Tensor, factor: Tensor) -> Tensor:
    """Apply a given kind and factor of change to each image, both ``(B, 1, 1, 1)``."""
    gray = grayscale(images)
    # A factor moves an image away from one without light, contrast or color.
    without = torch.where(kind == SATURATION, gray, gray.mean(dim=(1, 2, 3), keepdim=True))
    without = torch.where(kind == BRIGHTNESS, 0.0, without)
    return (without + factor * (images - without)).clamp(0, 1)


def random_grayscale(images: Tensor, probability: float) -> Tensor:
    """Remove the colors of each image with a probability, ``(B, 3, H, W)``."""
    chosen = torch.rand(len(images), 1, 1, 1, device=images.device) < probability
    return torch.where(chosen, grayscale(images), images)


def grayscale(images: Tensor) -> Tensor:
    """Return the luma ``(B, 1, H, W)`` of images ``(B, 3, H, W)``."""
    red, green, blue = images.unbind(dim=1)
    return (_LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue)[:, None]
