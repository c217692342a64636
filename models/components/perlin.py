"""Perlin noise in batches, and masks above a threshold of it (DRAEM, section 3.2).

Every weight of Perlin's interpolation belongs to a row or to a column of pixels, so the noise of an
image is two products of small matrices. One image of 256 pixels takes 10 MFLOP, and a batch takes
the same few operations as one image, whatever the number of lattice cells of each.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from models.components.draws import Draws

MAX_EXPONENT = 6
"""Lattice cells along a side are powers of two below 2⁶, as in DRAEM's code."""

_MASK_THRESHOLD = 0.5
"""Noise above it is in a mask, as in DRAEM's code."""


def perlin_noise(draws: Draws, size: tuple[int, int]) -> Tensor:
    """Return noise in [−1, 1], ``(B, H, W)`` float32, with random numbers of cells per sample.

    Args:
        draws: Random numbers of the samples.
        size: ``(H, W)`` in pixels.
    """
    lines = 2 ** (MAX_EXPONENT - 1) + 1
    cells = 2.0 ** (draws.fold_in("cells").uniform(2) * MAX_EXPONENT).floor()
    angles = 2 * math.pi * draws.fold_in("gradients").uniform(lines, lines)
    return lattice_noise(angles, cells, size)


def lattice_noise(angles: Tensor, cells: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the noise of given unit gradients, under Perlin's quintic fade, times √2.

    Perlin, Improving noise, SIGGRAPH 2002. Float32 even under autocast.

    Args:
        angles: ``(B, L, L)`` directions of the gradients at the crossings of the lattice, in
            radians from the x axis.
        cells: ``(B, 2)`` numbers of cells from top to bottom and from left to right, below L.
        size: ``(H, W)`` in pixels.

    Returns:
        ``(B, H, W)``.
    """
    with torch.autocast(angles.device.type, enabled=False):
        weight_y, offset_y = _fade_weights(cells[:, 0], size[0], angles.shape[1])
        weight_x, offset_x = _fade_weights(cells[:, 1], size[1], angles.shape[2])
        # Sum over crossings (j, i) of w_j(y) w_i(x) (g_x (x − i) + g_y (y − j)).
        along_x = weight_y @ angles.cos() @ (weight_x * offset_x).mT
        along_y = (weight_y * offset_y) @ angles.sin() @ weight_x.mT
        return math.sqrt(2) * (along_x + along_y)


def perlin_masks(draws: Draws, size: tuple[int, int]) -> Tensor:
    """Return bool ``(B, H, W)``, True where randomly rotated noise exceeds 0.5.

    A mask may be empty. The noise is rotated by up to 90 degrees; corners that this leaves empty
    are 0.

    Args:
        draws: Random numbers of the samples.
        size: ``(H, W)`` in pixels.
    """
    noise = perlin_noise(draws, size)
    degrees = 180 * draws.fold_in("degrees").uniform() - 90
    return rotate(noise[:, None], degrees)[:, 0] > _MASK_THRESHOLD


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Rotate images about their centers, bilinearly; pixels from outside are 0.

    Float32 even under autocast, which would round places by up to half a pixel.

    Args:
        images: ``(B, C, H, W)`` floats.
        degrees: ``(B,)``, counter-clockwise.
    """
    height, width = images.shape[-2:]
    angle = torch.deg2rad(degrees)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # affine_grid counts in half sides: the aspect ratio keeps rotations of oblong images rigid.
    rows = (cos, -sin * height / width, zero, sin * width / height, cos, zero)
    matrix = torch.stack(rows, dim=1).view(-1, 2, 3).to(images.dtype)
    with torch.autocast(images.device.type, enabled=False):
        grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, align_corners=False)


def turn_some(images: Tensor, draws: Draws, probability: float) -> Tensor:
    """Rotate some images ``(B, C, H, W)`` by up to 90 degrees; the corners left empty are 0."""
    chosen, share = draws.fold_in("turned images").uniform(2).unbind(dim=1)
    turned = rotate(images, 180 * share - 90)
    return torch.where((chosen < probability).view(-1, 1, 1, 1), turned, images)


def _fade_weights(cells: Tensor, length: int, lines: int) -> tuple[Tensor, Tensor]:
    """Return each pixel's weights of all lattice lines and its distances, ``(B, length, L)``."""
    pixel = torch.arange(length, device=cells.device)[:, None]
    line = torch.arange(lines, device=cells.device)
    offset = pixel * cells.float()[:, None, None] / length - line
    near = (1 - offset.abs()).clamp_min(0)  # 0 beyond the two lines that enclose the pixel
    return near**3 * (near * (near * 6 - 15) + 10), offset
