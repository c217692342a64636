"""DRAEM's synthetic defects: changed textures, blended into images under Perlin masks.

Zavrtanik, Kristan and Skočaj, DRAEM, ICCV 2021, section 3.2. Everything is computed for the whole
batch on its device, from random numbers that belong to the samples.
"""

import torch
from torch import Tensor

from models.components.draws import Draws
from models.components.perlin import perlin_masks
from models.draem.texture_changes import change_textures

PROBABILITY = 0.5
"""Probability of a defect, as in the official code."""

MAX_BETA = 0.8
"""Maximum opacity of the image under a defect; uniform from 0, as in the official code."""


def synthesize(images: Tensor, textures: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """Return images with synthetic defects, and their masks.

    A defect is I (1 − m) + m ((1 − β) T + β I) for an image I, a mask m and a changed texture T.

    Args:
        images: ``(B, 3, H, W)`` in [0, 1].
        textures: ``(B, 3, H, W)`` in [0, 1].
        draws: Random numbers of the samples.

    Returns:
        ``(B, 3, H, W)``, and bool ``(B, H, W)``, empty for about half of the images.
    """
    drawn = draws.fold_in("defects").uniform(2, 1, 1, 1)
    present, beta = drawn[:, 0] < PROBABILITY, MAX_BETA * drawn[:, 1]
    masks = perlin_masks(draws, images.shape[-2:])[:, None] & present
    blended = torch.lerp(change_textures(textures, draws), images, beta)
    return torch.where(masks, blended, images), masks[:, 0]
