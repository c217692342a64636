"""Bilinear upsampling as a matrix product, whose gradient is deterministic on a GPU."""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F


@lru_cache(maxsize=32)
def upsampling_matrix(small: int, large: int, device: torch.device) -> Tensor:
    """Return the matrix ``(large, small)``, float32, that upsamples a column of pixels.

    It interpolates as `torch.nn.functional.interpolate` does with ``align_corners=False``.
    """
    # Cached: an inference tensor could not be used in training afterwards.
    with torch.inference_mode(False), torch.no_grad():
        identity = torch.eye(small, dtype=torch.float64)
        upsampled = F.interpolate(
            identity[None, None], size=(large, small), mode="bilinear", align_corners=False
        )
        return upsampled[0, 0].float().to(device)


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Upsample maps ``(B, C, h, w)`` bilinearly to ``(B, C, H, W)``."""
    rows = upsampling_matrix(maps.shape[-2], size[0], maps.device).to(maps.dtype)
    columns = upsampling_matrix(maps.shape[-1], size[1], maps.device).to(maps.dtype)
    return rows @ (maps @ columns.T)
