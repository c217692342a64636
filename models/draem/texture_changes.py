"""Random changes of textures: three of ten, drawn for each sample.

They follow the ten operations that DRAEM's official code takes from imgaug, with its ranges, but:
every operation is computed for the whole batch and kept where it was drawn, in the order below
instead of a random one; brightness is changed in RGB, and the hue is rotated about the gray axis of
RGB, instead of in HSV.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from models.components.draws import Draws
from models.components.perlin import rotate

DRAWN = 3
"""Number of operations of each sample."""

_LEVELS = 256


def change_textures(textures: Tensor, draws: Draws) -> Tensor:
    """Apply three of the `OPERATIONS` to each texture.

    Args:
        textures: ``(B, 3, H, W)`` in [0, 1].
        draws: Random numbers of the samples.

    Returns:
        The same shape, in [0, 1].
    """
    # Ranks of random numbers are a random permutation: each row draws three distinct operations.
    ranks = draws.fold_in("operations").uniform(len(OPERATIONS)).argsort(1).argsort(1)
    for operation, rank in zip(OPERATIONS, ranks.unbind(dim=1), strict=True):
        numbers = draws.fold_in(operation.__name__).uniform(3, 1, 1)
        changed = operation(textures, numbers).clamp(0, 1)
        textures = torch.where((rank < DRAWN).view(-1, 1, 1, 1), changed, textures)
    return textures


def gamma_contrast(images: Tensor, numbers: Tensor) -> Tensor:
    """Raise each channel to a power in [0.5, 2]."""
    return images ** (0.5 + 1.5 * numbers)


def brightness(images: Tensor, numbers: Tensor) -> Tensor:
    """Multiply by a factor in [0.8, 1.2] and add up to ±30 of 255."""
    return images * _between(0.8, 1.2, numbers[:, :1]) + _between(-30, 30, numbers[:, 1:2]) / 255


def sharpness(images: Tensor, numbers: Tensor) -> Tensor:
    """Mix with an image smoothed by Pillow's kernel; factors in [0, 2], above 1 it sharpens."""
    mean = F.avg_pool2d(F.pad(images, (1,) * 4, mode="replicate"), 3, stride=1)
    smooth = (9 * mean + 4 * images) / 13  # the center weighs 5, its eight neighbors 1 each
    return torch.lerp(smooth, images, 2 * numbers[:, :1])


def hue_and_saturation(images: Tensor, numbers: Tensor) -> Tensor:
    """Rotate the hue by up to ±70 degrees and add up to ±50 of 255 to the saturation."""
    angle = math.radians(70) * (2 * numbers[:, :1] - 1)
    # A rotation about the gray axis of RGB (Rodrigues' formula) keeps a gray pixel.
    axis = images.new_full((1, 3, 1, 1), 1 / math.sqrt(3))
    crossed = torch.linalg.cross(axis.expand_as(images), images, dim=1)
    along = axis * (axis * images).sum(dim=1, keepdim=True)
    turned = images * angle.cos() + crossed * angle.sin() + along * (1 - angle.cos())
    return along + (turned - along) * (1 + _between(-50, 50, numbers[:, 1:2]) / 255)


def solarize(images: Tensor, numbers: Tensor) -> Tensor:
    """Invert pixels above a threshold in [32, 128] of 255, in half of the images."""
    above = images >= _between(32, 128, numbers[:, :1]) / 255
    return torch.where(above & (numbers[:, 1:2] < 0.5), 1 - images, images)


def posterize(images: Tensor, numbers: Tensor) -> Tensor:
    """Keep the upper 1 to 8 bits of 8."""
    step = 2.0 ** (8 * numbers[:, :1]).floor()
    return (255 * images / step).floor() * step / 255


def invert(images: Tensor, numbers: Tensor) -> Tensor:
    """Invert all channels."""
    return 1 - images


def autocontrast(images: Tensor, numbers: Tensor) -> Tensor:
    """Stretch each channel to [0, 1]."""
    low, high = images.aminmax(dim=-1)
    low, high = low.amin(-1)[..., None, None], high.amax(-1)[..., None, None]
    return (images - low) / (high - low).clamp_min(1 / 255)


def equalize(images: Tensor, numbers: Tensor) -> Tensor:
    """Make the levels of each channel equally frequent, by its histogram of 256 levels."""
    levels = (255 * images).round().long().flatten(2)
    counts = images.new_zeros(*levels.shape[:2], _LEVELS)
    counts.scatter_add_(2, levels, images.flatten(2).new_ones(()).expand_as(levels))
    below = counts.cumsum(2) - counts / 2
    return (below / levels.shape[2]).gather(2, levels).view_as(images)


def turn(images: Tensor, numbers: Tensor) -> Tensor:
    """Rotate by up to 45 degrees."""
    return rotate(images, _between(-45, 45, numbers[:, 0, 0, 0]))


OPERATIONS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    *(gamma_contrast, brightness, sharpness, hue_and_saturation, solarize),
    *(posterize, invert, autocontrast, equalize, turn),
)
"""Each takes images ``(B, 3, H, W)`` and uniform random numbers ``(B, 3, 1, 1)``."""


def _between(low: float, high: float, share: Tensor) -> Tensor:
    return low + (high - low) * share
