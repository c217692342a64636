"""Coupled-hypersphere-based Feature Adaptation (Lee, Lee and Song, IEEE Access 2022).

A patch descriptor over frozen features is trained to draw normal patches into spheres around the
nearest centers of a memory bank and out of those around the next ones. Written from the paper.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.components.anomaly_map import of_maps, upsample_and_blur
from models.components.backbone import Backbone
from models.components.base import Prediction
from models.components.coord_conv import CoordConv
from models.components.dynamic_buffers import load_dynamic_buffers
from models.components.k_means import k_means
from models.components.load_tensors import load_tensors
from models.components.nearest_centers import nearest, squared_distances
from models.components.on_features import Gathers, Learns, OnFeatures

ATTRACTING = 3
"""K: the nearest centers, which draw a patch in."""

REPELLING = 3
"""J: the next centers, which push it out."""

MARGIN = 0.1
"""α: how deep in a repelling sphere a patch may lie."""

_RADIUS = 1e-5


class CFA(Gathers, Learns, OnFeatures):
    """Backbone, patch descriptor and memory bank.

    Attributes:
        memory_bank: ``(M, D)`` centers; None until statistics are finished.

    Args:
        backbone: Frozen features, the finest first.
        compression: γ_c: positions to a center of the memory bank; 1 keeps one for each.
    """

    def __init__(self, backbone: Backbone, *, compression: int = 1) -> None:
        super().__init__(backbone)
        channels = backbone.channels
        # γ_d = 1: descriptors are as long as what they are made of.
        self.descriptor = CoordConv(channels, outputs=sum(channels))
        self.radius = nn.Parameter(torch.tensor(_RADIUS))
        self.memory_bank: Tensor | None
        self.register_buffer("memory_bank", None)
        self._compression = compression
        self._sums: list[Tensor] = []
        self._count = 0

    def update_features(self, features: list[Tensor]) -> None:
        """Add the features of a batch of normal images to their sums."""
        sums = [layer.sum(dim=0, keepdim=True, dtype=torch.float64) for layer in features]
        if self._sums and any(a.shape != b.shape for a, b in zip(self._sums, sums, strict=True)):
            raise ValueError(
                "CFA averages over images position by position: wanted images of one size, found "
                f"features {tuple(sums[0].shape[-2:])} after {tuple(self._sums[0].shape[-2:])}. "
                "Resize them alike."
            )
        self._sums = [a + b for a, b in zip(self._sums, sums, strict=True)] if self._sums else sums
        self._count += len(features[0])

    @torch.no_grad()
    def compute(self) -> None:
        """Make the memory bank of the untrained descriptor's mean over the images.

        One center for each position, so that the bank does not grow with the training set. The
        paper clusters the first image's descriptors and follows the others by a moving average;
        where nothing is compressed that is the mean, up to the weight it gives to late images. The
        descriptor is affine: its mean over images is that of the mean features.

        Raises:
            RuntimeError: No image was absorbed.
            ValueError: Compression leaves fewer centers than the loss looks at.
        """
        if not self._count:
            raise RuntimeError("CFA's memory bank is the mean of images: absorb some before.")
        means = [(layer / self._count).float() for layer in self._sums]
        with torch.autocast(means[0].device.type, enabled=False):
            (descriptors,) = self._descriptors(means)
            count = len(descriptors) // self._compression
            if count < ATTRACTING + REPELLING:
                raise ValueError(
                    f"CFA looks at {ATTRACTING + REPELLING} centers: wanted a memory bank of that "
                    f"many or more, found {len(descriptors)} positions compressed to {count}. "
                    "Compress less or choose a larger image size."
                )
            self.memory_bank = (
                k_means(descriptors, count) if count < len(descriptors) else descriptors
            )
        self._sums, self._count = [], 0

    def loss_of_features(self, features: list[Tensor]) -> Tensor:
        """Sum of both coupled-hypersphere losses (Section III-B), mean over patches and batch.

        With D_k the squared distance of a patch to its k-th nearest center,
        L_att = mean over k ≤ K of max(0, D_k − r²) and
        L_rep = mean over K < k ≤ K + J of max(0, r² − D_k − α). The paper calls D the Euclidean
        distance; compared with r² it is its square. A factor before both, as Deep SVDD's 1/ν, is
        left out: under Adam it changes nothing.

        Raises:
            RuntimeError: The memory bank is not there yet.
        """
        bank = self._bank()
        # Float32 whatever autocast says: bfloat16 finds other neighbors.
        with torch.autocast(bank.device.type, enabled=False):
            distances = self._nearest_squared(features, bank, ATTRACTING + REPELLING)
            attracting, repelling = distances.split([ATTRACTING, REPELLING], dim=-1)
            sphere = self.radius.square()
            attraction = (attracting - sphere).relu().mean()
            return attraction + (sphere - repelling - MARGIN).relu().mean()

    def scored(self, features: list[Tensor], size: tuple[int, int]) -> dict[str, Prediction]:
        """Distance to the nearest center times its softmin among the K nearest (Section III-D).

        Raises:
            RuntimeError: The memory bank is not there yet.
        """
        distances = self._nearest_squared(features, self._bank(), ATTRACTING).sqrt()
        certainty = F.softmin(distances, dim=-1)[..., 0]
        height, width = features[0].shape[-2:]
        maps = (certainty * distances[..., 0]).unflatten(1, (height, width))
        return {"score": of_maps(upsample_and_blur(maps, size))}

    def trainable_parameters(self) -> list[nn.Parameter]:
        """The descriptor's, and the radius."""
        return [*self.descriptor.parameters(), self.radius]

    def checkpoint(self) -> dict[str, Any]:
        """Descriptor, radius and memory bank."""
        return {
            "descriptor": self.descriptor.state_dict(),
            "radius": self.radius.detach(),
            "memory_bank": self._bank(),
        }

    def load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Take back what `checkpoint` gave.

        Raises:
            ValueError: It is another model's.
        """
        taken = load_dynamic_buffers(
            checkpoint,
            {"memory_bank": "centers channels", "radius": ""},
            self.radius.device,
            channels=self.descriptor.conv.out_channels,
        )
        load_tensors(self.descriptor, checkpoint, "descriptor")
        self.memory_bank = taken["memory_bank"]
        with torch.no_grad():
            self.radius.copy_(taken["radius"])

    def _bank(self) -> Tensor:
        if self.memory_bank is None:
            raise RuntimeError(
                "CFA has no memory bank yet: absorb the training images and finish, or load a "
                "checkpoint, before."
            )
        return self.memory_bank

    def _descriptors(self, features: list[Tensor]) -> Tensor:
        """``(B, h · w, D)`` of features averaged over 3 × 3 neighbors, to be aware of them."""
        pooled = [F.avg_pool2d(layer.float(), 3, stride=1, padding=1) for layer in features]
        descriptors: Tensor = self.descriptor(pooled)
        return descriptors.flatten(1, 2)

    def _nearest_squared(self, features: list[Tensor], bank: Tensor, count: int) -> Tensor:
        """``(B, h · w, count)`` squared distances to the nearest centers, ascending."""
        # An image at a time: the distances of 4,096 positions to as many centers are 64 MB.
        return torch.stack(
            [
                squared_distances(patches, bank, nearest(patches, bank, count))
                for patches in self._descriptors(features)
            ]
        )


def build(*, weights: str | None, state: Mapping[str, Tensor] | None, compression: int = 1) -> CFA:
    """Build a CFA model; see `models.components.base.Build`.

    Args:
        weights: Tag of the backbone's weights.
        state: The backbone's tensors; None leaves it random.
        compression: γ_c: positions to a center of the memory bank, by k-means where more than 1.

    Raises:
        ValueError: Unknown weights, tensors that are not this backbone's, or no compression that
            can be.
    """
    if compression < 1:
        raise ValueError(
            f"CFA's compression is how many positions share a center: wanted 1 or more, found "
            f"{compression}. Give 1 to keep a center for each."
        )
    return CFA(Backbone.of(weights, state), compression=compression)
