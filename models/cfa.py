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
from models.components.base import AnomalyModel, Batch, Prediction
from models.components.coord_conv import CoordConv

ATTRACTING = 3
"""K: the nearest centers, which draw a patch in."""

REPELLING = 3
"""J: the next centers, which push it out."""

MARGIN = 0.1
"""α: how deep in a repelling sphere a patch may lie."""

_RADIUS = 1e-5


class CFA(AnomalyModel):
    """Backbone, patch descriptor and memory bank.

    Attributes:
        memory_bank: ``(M, D)`` centers, one for each position; empty before `compute`.

    Args:
        backbone: Frozen features, the finest first.
    """

    features_only = True
    backbone: Backbone

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        channels = backbone.channels
        # γ_d = 1: descriptors are as long as what they are made of.
        self.descriptor = CoordConv(channels, outputs=sum(channels))
        self.radius = nn.Parameter(torch.tensor(_RADIUS))
        self.memory_bank: Tensor
        self.register_dynamic_buffer("memory_bank", "centers", sum(channels))
        self._sums: list[Tensor] = []
        self._count = 0

    def update(self, batch: Batch) -> None:
        """Add the features of a batch of normal images to their sums."""
        features = batch.get_features()
        sums = [layer.sum(dim=0, keepdim=True, dtype=torch.float64) for layer in features]
        if self._sums and any(a.shape != b.shape for a, b in zip(self._sums, sums, strict=True)):
            raise ValueError(
                "CFA averages over images position by position: wanted images of one size, found "
                f"features {tuple(sums[0].shape[-2:])} after {tuple(self._sums[0].shape[-2:])}. "
                "Resize them to one size."
            )
        self._sums = [a + b for a, b in zip(self._sums, sums, strict=True)] if self._sums else sums
        self._count += len(features[0])

    def compute(self) -> None:
        """Set the memory bank to the untrained descriptor's mean over the images.

        One center for each position, so that the bank does not grow with the training set. The
        paper clusters the first image's descriptors and follows the others by a moving average;
        without its compression that is the mean, up to the weight it gives to late images. The
        descriptor is affine: its mean over images is that of the mean features.

        Raises:
            ValueError: No image was seen, or images have fewer positions than the loss looks at.
        """
        if not self._count:
            raise ValueError(
                "CFA's memory bank is the mean of normal images: wanted at least one, found 0. Add "
                "normal images to the training split."
            )
        means = [(layer / self._count).float() for layer in self._sums]
        (descriptors,) = self._descriptors(means)
        if len(descriptors) < ATTRACTING + REPELLING:
            raise ValueError(
                f"CFA looks at {ATTRACTING + REPELLING} centers: wanted a memory bank of that many "
                f"or more, found {len(descriptors)} positions. Choose a larger image size."
            )
        # An ordinary tensor also where this runs in inference mode: the loss keeps it for backward.
        with torch.inference_mode(False):
            self.memory_bank = descriptors.detach().clone()
        self._sums, self._count = [], 0

    def loss(self, batch: Batch) -> Tensor:
        """Return the sum of both coupled-hypersphere losses, mean over patches and batch.

        Section III-B: with D_k the squared distance of a patch to its k-th nearest center,
        L_att = mean over k ≤ K of max(0, D_k − r²) and
        L_rep = mean over K < k ≤ K + J of max(0, r² − D_k − α). The paper calls D the Euclidean
        distance; compared with r² it is its square. A factor before both, as Deep SVDD's 1/ν, is
        left out: under Adam it changes nothing.

        Raises:
            RuntimeError: The memory bank is not there yet.
        """
        self._check_fitted(self.memory_bank, "memory bank")
        # Float32 whatever autocast says: bfloat16 finds other neighbors.
        with torch.autocast(self.memory_bank.device.type, enabled=False):
            distances = self._nearest_squared(batch.get_features(), ATTRACTING + REPELLING)
            attracting, repelling = distances.split([ATTRACTING, REPELLING], dim=-1)
            sphere = self.radius.square()
            attraction = (attracting - sphere).relu().mean()
            return attraction + (sphere - repelling - MARGIN).relu().mean()

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Return distances to the nearest centers times their softmin among K (Section III-D).

        Raises:
            RuntimeError: The memory bank is not there yet.
        """
        self._check_fitted(self.memory_bank, "memory bank")
        features = batch.get_features()
        distances = self._nearest_squared(features, ATTRACTING).sqrt()
        certainty = F.softmin(distances, dim=-1)[..., 0]
        height, width = features[0].shape[-2:]
        maps = (certainty * distances[..., 0]).unflatten(1, (height, width))
        return {"score": of_maps(upsample_and_blur(maps, batch.size))}

    def _descriptors(self, features: list[Tensor]) -> Tensor:
        """``(B, h · w, D)`` of features averaged over 3 × 3 neighbors, to be aware of them."""
        pooled = [F.avg_pool2d(layer.float(), 3, stride=1, padding=1) for layer in features]
        descriptors: Tensor = self.descriptor(pooled)
        return descriptors.flatten(1, 2)

    def _nearest_squared(self, features: list[Tensor], count: int) -> Tensor:
        """``(B, h · w, count)`` squared distances to the nearest centers, ascending."""
        bank = self.memory_bank
        # An image at a time: the distances of 4,096 positions to as many centers are 64 MB.
        return torch.stack(
            [
                squared_distances(patches, bank, nearest(patches, bank, count))
                for patches in self._descriptors(features)
            ]
        )


@torch.no_grad()
def nearest(points: Tensor, centers: Tensor, count: int) -> Tensor:
    """Which centers are nearest to each point.

    Args:
        points: ``(N, D)`` float32.
        centers: ``(M, D)``, M ≥ count.
        count: How many.

    Returns:
        ``(N, count)`` indices, the nearest first.
    """
    # Moved to the centers' middle, where less is lost in ‖c‖² − 2 x·c, the part of the squared
    # distance in which centers differ.
    middle = centers.mean(dim=0)
    points, centers = points - middle, centers - middle
    distances = torch.addmm(centers.square().sum(dim=1), points, centers.T, alpha=-2)
    return distances.topk(count, largest=False).indices


def squared_distances(points: Tensor, centers: Tensor, chosen: Tensor) -> Tensor:
    """Squared distances of points to their chosen centers; differentiable by the points alone.

    Args:
        points: ``(N, D)`` float32.
        centers: ``(M, D)``.
        chosen: ``(N, K)`` indices of centers.

    Returns:
        ``(N, K)``.
    """
    distances: Tensor = _SquaredDistances.apply(points, centers, chosen)
    return distances


class _SquaredDistances(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, points: Tensor, centers: Tensor, chosen: Tensor) -> Tensor:
        ctx.save_for_backward(points, centers, chosen)
        # One neighbor at a time: all at once would be K copies of the points.
        return torch.stack(
            [(points - centers[index]).square_().sum(dim=1) for index in chosen.unbind(1)], dim=1
        )

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        # Σ_k g_k · 2 (x − c_k)
        points, centers, chosen = ctx.saved_tensors
        weighted = F.embedding_bag(
            chosen, centers, mode="sum", per_sample_weights=gradient.contiguous()
        )
        return 2 * (gradient.sum(dim=1, keepdim=True) * points - weighted), None, None


def build(*, weights: str | None, state: Mapping[str, Tensor] | None) -> CFA:
    """Build a CFA model; see `models.components.base.Build`.

    Args:
        weights: Tag of the backbone's weights.
        state: The backbone's tensors; None leaves it random.

    Raises:
        ValueError: Unknown weights, or tensors that are not this backbone's.
    """
    return CFA(Backbone.of(weights, state))
