"""Random changes of textures: three of ten, drawn for each sample.

They follow the ten operations that DRAEM's official code takes from imgaug, with its ranges, but:
every operation is computed for the whole batch and kept where it was drawn, in the order below
instead of a random one; values are not rounded to 8 bits; brightness is changed in RGB.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from models.components.draws import Draws
from models.components.perlin import rotate

DRAWN = 3
"""Number of operations of each sample."""

_LEVELS = 256
_TINY = torch.finfo(torch.float32).tiny


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
    """Add up to ±70 degrees to the hue and up to ±50 of 255 to the saturation, in HSV.

    A gray pixel has hue 0, red, which a higher saturation shows, as in imgaug.
    """
    red, green, blue = images.unbind(dim=1)
    value, least = images.amax(dim=1), images.amin(dim=1)
    chroma = value - least
    divisor = chroma.clamp_min(_TINY)
    hue = torch.where(  # in sixths of a turn
        red == value,
        (green - blue) / divisor,
        torch.where(green == value, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    hue = hue + _between(-70, 70, numbers[:, 0]) / 60
    shift = _between(-50, 50, numbers[:, 1]) / 255
    saturation = (chroma / value.clamp_min(_TINY) + shift).clamp(0, 1)
    hue = hue.remainder(6)
    # A channel has the whole value up to a sixth of a turn from its own hue, 0, 2 or 4 sixths, and
    # the least two sixths away.
    shares = torch.stack([(hue - 3).abs() - 1, 2 - (hue - 2).abs(), 2 - (hue - 4).abs()], dim=1)
    lowered = saturation[:, None] * (1 - shares.clamp(0, 1))
    return value[:, None] * (1 - lowered)


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
    """Cut 0 to 20 percent of the pixels off both ends of each channel and stretch it to [0, 1].

    A constant channel is kept.
    """
    below = _histograms(images)[1].cumsum(dim=2)
    pixels = images[0, 0].numel()
    cut = (pixels * (21 * numbers[:, 0]).floor() / 100).floor()
    low = (below <= cut).sum(dim=2)[..., None, None] / 255
    high = (below < pixels - cut).sum(dim=2)[..., None, None] / 255
    return torch.where(high > low, (images - low) / (high - low), images)


def equalize(images: Tensor, numbers: Tensor) -> Tensor:
    """Make the levels of each channel equally frequent, by its histogram of 256 levels.

    Levels are rounded as in Pillow: the lowest becomes 0, the highest 1. A constant channel is
    kept.
    """
    levels, counts = _histograms(images)
    highest = counts.gather(2, levels.amax(dim=2, keepdim=True))
    step = ((levels.shape[2] - highest) / 255).floor()  # pixels per level of the result
    below = counts.cumsum(dim=2) - counts
    equalized = (((step / 2).floor() + below) / step).floor() / 255
    changed = equalized.gather(2, levels).view_as(images).clamp_max(1)
    return torch.where(step[..., None] > 0, changed, images)


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


def _histograms(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return levels ``(B, 3, H W)`` of pixels, rounded to 8 bits, and counts ``(B, 3, 256)``."""
    levels = (255 * images).round().long().flatten(2)
    counts = images.new_zeros(*levels.shape[:2], _LEVELS)
    counts.scatter_add_(2, levels, counts.new_ones(()).expand_as(levels))
    return levels, counts
