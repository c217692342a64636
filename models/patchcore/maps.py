"""PatchCore's anomaly maps: patch scores at the input's size, blurred."""

from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from models.components.anomaly_map import SIGMA, upsample_and_blur

Upsampling = Literal["bilinear", "nearest"]
_RADIUS = int(4 * SIGMA + 0.5)


def anomaly_maps(scores: Tensor, size: tuple[int, int], upsampling: Upsampling) -> Tensor:
    """Maps of patch scores.

    Args:
        scores: ``(B, h, w)``.
        size: ``(H, W)`` in pixels.
        upsampling: ``bilinear`` as the official code; ``nearest`` as anomalib, whose blur's border
            mirrors about the edge pixel.

    Returns:
        ``(B, H, W)`` float32.

    Raises:
        ValueError: A side is no longer than the blur's radius, where the border mirrors.
    """
    if upsampling == "bilinear":
        return upsample_and_blur(scores, size)
    if min(size) <= _RADIUS:
        raise ValueError(
            f"Maps that are mirrored about their edge need sides of more than {_RADIUS} pixels: "
            f"found {size[0]}×{size[1]}. Choose a larger image size."
        )
    rows = _repeat_blur_matrix(scores.shape[1], size[0], scores.device)
    columns = _repeat_blur_matrix(scores.shape[2], size[1], scores.device)
    return rows @ (scores.float() @ columns.T)


@lru_cache(maxsize=16)
def _repeat_blur_matrix(small: int, large: int, device: torch.device) -> Tensor:
    """``(large, small)``: repeats pixels, then a Gaussian with borders d c b | a b c d."""
    with torch.inference_mode(False), torch.no_grad():
        identity = torch.eye(small, dtype=torch.float64)[None]
        repeated = F.interpolate(identity, size=large, mode="nearest")[0]  # (small, large)
        offsets = torch.arange(-_RADIUS, _RADIUS + 1, dtype=torch.float64)
        kernel = torch.exp(-0.5 * (offsets / SIGMA) ** 2)
        padded = F.pad(repeated[:, None], (_RADIUS, _RADIUS), mode="reflect")
        blurred = F.conv1d(padded, (kernel / kernel.sum())[None, None])[:, 0]
        return blurred.T.float().contiguous().to(device)
