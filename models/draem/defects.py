"""DRAEM's synthetic defects: changed textures, blended into images under Perlin masks.

Zavrtanik, Kristan and Skočaj, DRAEM, ICCV 2021, section 3.2. Everything is computed for the whole
batch on its device; random numbers are drawn from torch's global generator, one row per sample.
"""

import torch
from torch import Tensor

from models.components.perlin import perlin_masks, rotate
from models.draem.texture_changes import change_textures

PROBABILITY = 0.5
"""Probability of a defect, as in the official code."""

MAX_BETA = 0.8
"""Maximum share of the image below a defect; uniform from 0, as in the official code."""

TURNED = 0.3
"""Probability that a training image is turned, by up to 90 degrees (section 4.1)."""


def synthesize(images: Tensor, textures: Tensor) -> tuple[Tensor, Tensor]:
    """Return images with synthetic defects, and their masks.

    A defect is I (1 − m) + m ((1 − β) T + β I) for an image I, a mask m and a changed texture T.

    Args:
        images: ``(B, 3, H, W)`` in [0, 1].
        textures: ``(B, 3, H, W)`` in [0, 1].

    Returns:
        ``(B, 3, H, W)``, and bool ``(B, H, W)``, empty for about half of the images.
    """
    count, device = len(images), images.device
    drawn = torch.rand(count, 2, 1, 1, 1, device=device)
    present, beta = drawn[:, 0] < PROBABILITY, MAX_BETA * drawn[:, 1]
    masks = perlin_masks(count, images.shape[-2:], device=device)[:, None] & present
    blended = torch.lerp(change_textures(textures), images, beta)
    return torch.where(masks, blended, images), masks[:, 0]


def turn_some(images: Tensor) -> Tensor:
    """Turn some images by up to 90 degrees; the corners that this leaves empty are black."""
    chosen, share = torch.rand(len(images), 2, device=images.device).unbind(dim=1)
    turned = rotate(images, 180 * share - 90)
    return torch.where((chosen < TURNED).view(-1, 1, 1, 1), turned, images)
