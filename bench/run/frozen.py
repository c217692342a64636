"""A frozen part's outputs over the training images, computed once instead of at every pass.

Reverse Distillation shows the same un-augmented images again and again to a teacher that never
changes. Where its features fit in memory they are kept, and training starts from them; results are
the same to rounding. Speeds in records add the teacher's cost back (`bench.run.profile`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.run.job import Report
from datasets_lib.free_memory import free_bytes
from models.interface import FrozenFeatureModel

_SHARE_OF_FREE_MEMORY = 0.25
_BATCH = 32


@dataclass(frozen=True)
class FrozenFeatures:
    """Features of every training image.

    Attributes:
        parts: One ``(N, h, w, C)`` tensor a tapped layer, on the model's device.
    """

    parts: list[Tensor]

    def batch(self, index: Tensor) -> list[Tensor]:
        """``(B, C, h, w)`` features of some images, channels last."""
        return [part[index].permute(0, 3, 1, 2) for part in self.parts]


def frozen_features(
    model: object, images: Tensor, prepare: Callable[[Tensor], Tensor], report: Report
) -> FrozenFeatures | None:
    """The frozen part's features, or None where it has none or they would not fit in memory.

    Args:
        model: Any model.
        images: ``(N, 3, S, S)`` uint8.
        prepare: Makes a float batch on the device of uint8 images.
        report: Called at every batch.
    """
    if not isinstance(model, FrozenFeatureModel):
        return None
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
        report("features", {"step": min(begin + _BATCH, len(images)), "steps": len(images)})
    return FrozenFeatures(parts)


def _fits(features: list[Tensor], count: int) -> bool:
    wanted = sum(part.nbytes for part in features) / len(features[0]) * count
    return wanted <= _SHARE_OF_FREE_MEMORY * free_bytes(features[0].device)
