"""Maps and masks with the counts of a real category, for timing."""

import torch
from torch import Tensor


def synthetic_maps(images: int, size: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Smooth maps in [0, 1] and masks, shaped as MVTec AD's bottle for 83 images.

    One image in four is normal (20 of 83); the others have two discs, 5 % of all pixels together.

    Returns:
        ``(N, S, S)`` float32 and ``(N, S, S)`` booleans.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(images, 1, size // 4, size // 4, generator=generator)
    maps = torch.nn.functional.interpolate(noise, size=size, mode="bilinear")[:, 0]
    masks = torch.zeros(images, size, size, dtype=torch.bool)
    axis = torch.arange(size)
    for index in range(images // 4, images):
        for _ in range(2):
            row, column = (torch.rand(2, generator=generator) * 0.8 + 0.1) * size
            distance = (axis[:, None] - row).square() + (axis - column).square()
            masks[index] |= distance < (0.105 * size) ** 2
    return torch.sigmoid_(maps.add_(masks, alpha=2)), masks
