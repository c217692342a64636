"""Small random changes of color, independent for each image, for EfficientAD's training."""

import torch
from torch import Tensor

from models.components.draws import Draws

BRIGHTNESS, CONTRAST, SATURATION = range(3)

_LUMA = (0.2989, 0.587, 0.114)
"""Shares of red, green and blue in gray (ITU-R 601, as torchvision rounds them)."""


def jitter(images: Tensor, draws: Draws, strength: float = 0.2) -> Tensor:
    """Change brightness, contrast or saturation, one of them drawn, by a factor drawn uniformly.

    Args:
        images: ``(B, 3, H, W)`` in [0, 1].
        draws: Random numbers of the images.
        strength: Factors are in [1 - strength, 1 + strength].

    Returns:
        The same shape, clipped to [0, 1].
    """
    kind, factor = draws.fold_in("jitter").uniform(2, 1, 1, 1).unbind(dim=1)
    return jittered(images, (3 * kind).long(), 1 + strength * (2 * factor - 1))


def jittered(images: Tensor, kind: Tensor, factor: Tensor) -> Tensor:
    """Apply a given kind and factor of change to each image, both ``(B, 1, 1, 1)``."""
    gray = grayscale(images)
    # A factor moves an image away from one without light, contrast or color.
    without = torch.where(kind == SATURATION, gray, gray.mean(dim=(1, 2, 3), keepdim=True))
    without = torch.where(kind == BRIGHTNESS, 0.0, without)
    return (without + factor * (images - without)).clamp(0, 1)


def random_grayscale(images: Tensor, draws: Draws, probability: float) -> Tensor:
    """Remove the colors of each image with a probability, ``(B, 3, H, W)``."""
    chosen = draws.fold_in("grayscale").uniform(1, 1, 1) < probability
    return torch.where(chosen, grayscale(images), images)


def grayscale(images: Tensor) -> Tensor:
    """Return the luma ``(B, 1, H, W)`` of images ``(B, 3, H, W)``."""
    red, green, blue = images.unbind(dim=1)
    return (_LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue)[:, None]
