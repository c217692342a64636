"""Frozen features of images at several scales, from one backbone or several."""

import hashlib
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.catalog import WeightsEntry
from models.components.frozen_backbone import FrozenBackbone


class ImagePyramid(FrozenBackbone):
    """Backbones with one tapped layer each, which see images at different scales.

    Images are resized bilinearly with antialiasing.

    Attributes:
        layers: The scales, numbered from 1.

    Args:
        weights: Weights of the first backbone.
        parts: Backbone and factor on the sides of images, by scale; a backbone may occur again.
    """

    def __init__(
        self, weights: WeightsEntry, parts: Sequence[tuple[FrozenBackbone, float]]
    ) -> None:
        super().__init__(weights, range(1, len(parts) + 1))
        backbones = list(dict.fromkeys(backbone for backbone, _ in parts))
        self.backbones = nn.ModuleList(backbones)
        self._parts = [(backbones.index(backbone), factor) for backbone, factor in parts]
        self.channels = [backbone.channels[0] for backbone, _ in parts]

    @torch.no_grad()
    def stages(
        self, images: Tensor, passed: Callable[[int], None] = lambda layer: None
    ) -> dict[int, Tensor]:
        """Return ``(B, C, h, w)`` features by scale."""
        found: dict[int, Tensor] = {}
        for layer, (index, factor) in zip(self.layers, self._parts, strict=True):
            (found[layer],) = self.backbones[index](_resized(images, factor))
            passed(layer)
        return found

    def shapes(self, size: Sequence[int]) -> list[tuple[int, int, int]]:
        """Return the shape ``(C, h, w)`` of the features for an image size, by scale."""
        return [
            self.backbones[index].shapes(_scaled(size, factor))[0] for index, factor in self._parts
        ]

    def digests(self) -> dict[int, str]:
        """Return the sha256 by scale of the scale and of all tensors its features depend on."""
        digests = [backbone.digests()[backbone.layers[0]] for backbone in self.backbones]
        return {
            layer: hashlib.sha256(f"{digests[index]} scaled by {factor}".encode()).hexdigest()
            for layer, (index, factor) in zip(self.layers, self._parts, strict=True)
        }


def _scaled(size: Sequence[int], factor: float) -> list[int]:
    return [math.ceil(side * factor) for side in size]


def _resized(images: Tensor, factor: float) -> Tensor:
    if factor == 1:
        return images
    size = _scaled(images.shape[-2:], factor)
    return F.interpolate(images.float(), size, mode="bilinear", antialias=True)
