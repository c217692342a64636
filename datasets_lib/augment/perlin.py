"""Perlin noise in batches, and masks above a threshold of it (DRAEM, section 3.2).

The noise is separable along rows: between two columns of the lattice it is P(y) dx + Q(y), where P
and Q blend the gradients above and below. P and Q are computed on the columns of the lattice only,
so that a pixel takes four gathers instead of eight.
"""

import math

import torch
from torch import Tensor

from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.augment.warp import rotation_matrix, warp

DRAEM_CELLS = tuple(2**power for power in range(6))
"""Lattice cells along a side: powers of two below 2⁶, as in DRAEM's code."""


def perlin_noise(size: int, streams: RandomStreams, cells: tuple[int, ...] = DRAEM_CELLS) -> Tensor:
    """Return noise in [−1, 1], float32 (B, size, size), with random numbers of cells per sample.

    Unit gradients and Perlin's quintic fade (Improving noise, SIGGRAPH 2002), times √2.

    Args:
        size: Height and width in pixels.
        streams: Random numbers, one image per sample.
        cells: Numbers of lattice cells to choose from.
    """
    device = streams.index.device
    lines = max(cells) + 1
    choice = streams.fold_in("cells").integers(len(cells), 2)
    # Comparisons and a sum, because a tensor of the choices would have to be copied to the device.
    count = sum((choice == number) * value for number, value in enumerate(cells))
    assert isinstance(count, Tensor)
    angle = streams.fold_in("angle").uniform(lines, lines, high=2 * math.pi)
    gradient_x, gradient_y = angle.cos(), angle.sin()

    place = (torch.arange(size, device=device)[None, :, None] * count[:, None, :]).float() / size
    cell = place.long()
    offset = place - cell
    fade = offset**3 * (offset * (offset * 6 - 15) + 10)
    (y, x), (dy, dx), (fade_y, fade_x) = (part.unbind(2) for part in (cell, offset, fade))

    def from_rows(gradient: Tensor, lower: int) -> Tensor:
        return gradient.gather(1, (y + lower)[:, :, None].expand(-1, -1, lines))

    fade_y, dy = fade_y[:, :, None], dy[:, :, None]
    p = torch.lerp(from_rows(gradient_x, 0), from_rows(gradient_x, 1), fade_y)
    q = torch.lerp(from_rows(gradient_y, 0) * dy, from_rows(gradient_y, 1) * (dy - 1), fade_y)

    def from_columns(values: Tensor, right: int) -> Tensor:
        return values.gather(2, (x + right)[:, None, :].expand(-1, size, -1))

    dx, fade_x = dx[:, None, :], fade_x[:, None, :]
    before = from_columns(p, 0) * dx + from_columns(q, 0)
    after = from_columns(p, 1) * (dx - 1) + from_columns(q, 1)
    return torch.lerp(before, after, fade_x).mul_(math.sqrt(2))


def perlin_masks(
    count: int,
    size: int,
    streams: RandomStreams,
    threshold: float = 0.5,
    cells: tuple[int, ...] = DRAEM_CELLS,
) -> Tensor:
    """Return bool (count, size, size), True where randomly turned noise exceeds the threshold.

    Args:
        count: Number of masks, equal to the number of samples of ``streams``.
        size: Height and width in pixels.
        streams: Random numbers, one mask per sample.
        threshold: Threshold of the noise, 0.5 in DRAEM. Corners that the turn leaves empty are 0.
        cells: Numbers of lattice cells to choose from.

    Raises:
        ValueError: The streams have another number of samples.
    """
    if count != len(streams):
        raise ValueError(
            f"perlin_masks wants one mask per sample, found {count} masks and {len(streams)} "
            "samples. Build the streams from as many indices as masks."
        )
    noise = perlin_noise(size, streams, cells)
    angle = streams.fold_in("turn").uniform(low=-90.0, high=90.0)
    return warp(noise[:, None], rotation_matrix(angle))[:, 0] > threshold
