"""A frozen part's outputs over the training images, computed once instead of at every pass.

Reverse Distillation shows the same un-augmented images again and again to a teacher that never
changes. Where its features fit in memory they are kept, and training starts from them; results are
the same to rounding. Speeds in records add the teacher's cost back (`bench.run.profile`).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from models.interface import FrozenFeatureModel

_SHARE_OF_FREE_MEMORY = 0.25
_BATCH = 32


@dataclass(frozen=True)
class FrozenFeatures:
    """Features of every training image.

    Attributes:
        parts: One ``(N, h, w, C)`` tensor a tapped layer.
        seconds: What computing them took.
    """

    parts: list[Tensor]
    seconds: float

    def batch(self, index: Tensor) -> list[Tensor]:
        """``(B, C, h, w)`` features of some images, channels last."""
        return [part[index.to(part.device)].permute(0, 3, 1, 2) for part in self.parts]


def frozen_features(
    model: object, images: Tensor, prepare: Callable[[Tensor], Tensor]
) -> FrozenFeatures | None:
    """The frozen part's features, or None where it has none or they would not fit in memory.

    Args:
        model: Any model.
        images: ``(N, 3, S, S)`` uint8.
        prepare: Makes a float batch on the device of uint8 images.
    """
    if not isinstance(model, FrozenFeatureModel):
        return None
    start = time.perf_counter()
    parts: list[Tensor] = []
    for begin in range(0, len(images), _BATCH):
        features = model.features(prepare(images[begin : begin + _BATCH]))
        if not parts:
            if not _fits(features, len(images)):
                return None
            parts = [
                torch.empty(
                    (len(images), *part.shape[2:], part.shape[1]),
                    dtype=part.dtype,
                    device=part.device,
                )
                for part in features
            ]
        for whole, part in zip(parts, features, strict=True):
            whole[begin : begin + _BATCH] = part.permute(0, 2, 3, 1)
    if parts[0].is_cuda:
        torch.cuda.synchronize(parts[0].device)
    return FrozenFeatures(parts, time.perf_counter() - start)


def _fits(features: list[Tensor], count: int) -> bool:
    device = features[0].device
    wanted = sum(part.nbytes for part in features) / len(features[0]) * count
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else _free_host_memory()
    return wanted <= _SHARE_OF_FREE_MEMORY * free


def _free_host_memory() -> int:
    """Bytes that can be had without swapping; 0 where the system does not tell."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return 0
    fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024
