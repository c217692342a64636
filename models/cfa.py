"""Coupled-hypersphere-based Feature Adaptation (CFA; Lee, Lee and Song, IEEE Access 2022).

A patch descriptor on top of frozen features is trained to pull normal patches into spheres around
their nearest centers in a memory bank and to push them out of the spheres around the next ones.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from models.components.anomaly_map import of_maps, upsample_and_blur
from models.components.backbone import Backbone
from models.components.base import AnomalyModel, Batch, Prediction
from models.components.errors import ImageSizeError
from models.components.upsampling import upsampling_matrix

ATTRACTING = 3
"""K: number of nearest centers, which attract a patch."""

REPELLING = 3
"""J: number of next centers, which repel it."""

MARGIN = 0.1
"""α: squared depth within a repelling sphere that costs nothing."""

_INITIAL_RADIUS = 1e-5  # spheres begin as points; the squared radius has no gradient at 0

_AT_ONCE = 1 << 24
"""Distances computed at once, as many as 4,096 positions have to as many centers."""

_COORDINATES = 2  # channels: the row and the column, each from -1 to 1


class CFA(AnomalyModel):
    """Backbone, patch descriptor and memory bank.

    Attributes:
        memory_bank: ``(M, D)`` centers, one per position; empty before `compute`.

    Args:
        backbone: Frozen features, finest layer first.
    """

    features_only = True
    backbone: Backbone

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        channels = backbone.channels
        # The paper's γ_d = 1: a descriptor has as many channels as the layers together.
        self.descriptor = CoordConv(channels, outputs=sum(channels))
        self.radius = nn.Parameter(torch.tensor(_INITIAL_RADIUS))
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
        """Set the memory bank to the mean of the untrained descriptor over the images.

        There is one center per position, so the bank does not grow with the training set. The paper
        clusters the descriptors of the first image and updates the centers by a moving average;
        without its compression that is the mean, except for the weight of late images. The
        descriptor is affine: its mean over images is the descriptor of the mean features.

        Raises:
            ValueError: No image was added, or there are fewer positions than the loss needs.
        """
        if not self._count:
            raise ValueError(
                "CFA's memory bank is the mean of normal images: wanted at least one, found 0. Add "
                "normal images to the training split."
            )
        means = [(layer / self._count).float() for layer in self._sums]
        (descriptors,) = self._descriptors(means)
        if len(descriptors) < ATTRACTING + REPELLING:
            raise ImageSizeError(
                f"CFA looks at {ATTRACTING + REPELLING} centers: wanted a memory bank of that many "
                f"or more, found {len(descriptors)} positions. Choose a larger image size."
            )
        # An ordinary tensor even if this runs in inference mode: the loss keeps it for backward.
        with torch.inference_mode(False):
            self.memory_bank = descriptors.detach().clone()
        self._sums, self._count = [], 0

    def loss(self, batch: Batch) -> Tensor:
        """Return the sum of both coupled-hypersphere losses, mean over patches and batch.

        Section III-B: with D_k the squared distance of a patch to its k-th nearest center,
        L_att = mean over k ≤ K of max(0, D_k − r²) and
        L_rep = mean over K < k ≤ K + J of max(0, r² − D_k − α). The paper calls D the Euclidean
        distance, but compares it with r². A common factor, such as Deep SVDD's 1/ν, is omitted:
        it changes nothing under Adam.

        Raises:
            RuntimeError: The memory bank is empty.
        """
        self._check_fitted(self.memory_bank, "memory bank")
        # Float32 even under autocast: bfloat16 finds other neighbors.
        with torch.autocast(self.memory_bank.device.type, enabled=False):
            distances = self._nearest_squared(batch.get_features(), ATTRACTING + REPELLING)
            attracting, repelling = distances.split([ATTRACTING, REPELLING], dim=-1)
            sphere = self.radius.square()
            attraction = (attracting - sphere).relu().mean()
            return attraction + (sphere - repelling - MARGIN).relu().mean()

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Return distances to the nearest centers times their softmin over K (Section III-D).

        Raises:
            RuntimeError: The memory bank is empty.
        """
        self._check_fitted(self.memory_bank, "memory bank")
        features = batch.get_features()
        distances = self._nearest_squared(features, ATTRACTING).sqrt()
        certainty = F.softmin(distances, dim=-1)[..., 0]
        height, width = features[0].shape[-2:]
        maps = (certainty * distances[..., 0]).unflatten(1, (height, width))
        return {"score": of_maps(upsample_and_blur(maps, batch.size))}

    def _descriptors(self, features: list[Tensor]) -> Tensor:
        """Return ``(B, h · w, D)`` descriptors of features averaged over 3 × 3 neighborhoods."""
        pooled = [F.avg_pool2d(layer.float(), 3, stride=1, padding=1) for layer in features]
        descriptors: Tensor = self.descriptor(pooled)
        return descriptors.flatten(1, 2)

    def _nearest_squared(self, features: list[Tensor], count: int) -> Tensor:
        """Return ``(B, h · w, count)`` squared distances to the nearest centers, ascending."""
        bank = self.memory_bank
        if torch.compiler.is_exporting():  # a loop would fix the number of images
            descriptors = self._descriptors(features)
            patches = descriptors.flatten(0, 1)
            squares = squared_distances(patches, bank, nearest(patches, bank, count))
            return squares.unflatten(0, descriptors.shape[:2])
        # One image at a time: its distances to all centers take at most 64 MB.
        return torch.stack(
            [
                squared_distances(patches, bank, nearest(patches, bank, count))
                for patches in self._descriptors(features)
            ]
        )


@torch.no_grad()
def nearest(points: Tensor, centers: Tensor, count: int) -> Tensor:
    """Return the indices of the centers nearest to each point.

    Args:
        points: ``(N, D)`` float32.
        centers: ``(M, D)``, M ≥ count.
        count: Number of centers per point.

    Returns:
        ``(N, count)`` indices, nearest first.
    """
    # ‖x‖² is the same for all centers, so ranking needs only ‖c‖² − 2 x·c. Subtracting the mean
    # of the centers keeps both terms small: less is lost to float32 rounding.
    middle = centers.mean(dim=0)
    points, centers = points - middle, centers - middle
    squares = centers.square().sum(dim=1)
    # Splitting would fix the number of points of an exported graph.
    parts = [points]
    if not torch.compiler.is_exporting():
        parts = list(points.split(max(1, _AT_ONCE // len(centers))))
    return torch.cat(
        [
            torch.addmm(squares, part, centers.T, alpha=-2).topk(count, largest=False).indices
            for part in parts
        ]
    )


def squared_distances(points: Tensor, centers: Tensor, chosen: Tensor) -> Tensor:
    """Return squared distances of points to chosen centers, differentiable only in the points.

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
        # One neighbor at a time: all at once would take K copies of the points.
        return torch.stack(
            [(points - centers[index]).square_().sum(dim=1) for index in chosen.unbind(1)], dim=1
        )

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        # d/dx Σ_k g_k ‖x − c_k‖² = 2 (x Σ_k g_k − Σ_k g_k c_k); the second sum without a gather.
        points, centers, chosen = ctx.saved_tensors
        weighted = F.embedding_bag(
            chosen, centers, mode="sum", per_sample_weights=gradient.contiguous()
        )
        return 2 * (gradient.sum(dim=1, keepdim=True) * points - weighted), None, None


class CoordConv(nn.Module):
    """A 1×1 CoordConv (Liu et al., NeurIPS 2018) of a feature pyramid on its finest grid.

    Upsampling is linear over positions and the convolution over channels, so each layer is
    convolved on its own grid and its result upsampled: the same numbers up to rounding, with a
    quarter of the multiplications for layers 1 to 3 of wide_resnet50_2. Upsampling by matrices has
    a deterministic gradient on a GPU, unlike `F.interpolate`.

    Args:
        channels: Number of channels of each layer.
        outputs: Number of channels of the result.
    """

    def __init__(self, channels: Sequence[int], outputs: int) -> None:
        super().__init__()
        self._split = [*channels, _COORDINATES]
        self.conv = nn.Conv2d(sum(self._split), outputs, kernel_size=1)

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        """Return the descriptors of every position.

        Args:
            layers: ``(B, C, h, w)``, the finest first.

        Returns:
            ``(B, h, w, outputs)`` at the first layer's grid.
        """
        height, width = layers[0].shape[-2:]
        *weights, place_weight = self.conv.weight.flatten(1).split(self._split, dim=1)
        places = _coordinates(height, width, layers[0].device)
        result = F.linear(places, place_weight, self.conv.bias)
        for layer, weight in zip(layers, weights, strict=True):
            channels_last = rearrange(layer, "b c h w -> b h w c")
            result = result + _upsampled(F.linear(channels_last, weight), height, width)
        return result


def _upsampled(grid: Tensor, height: int, width: int) -> Tensor:
    """Upsample ``(B, h, w, C)`` bilinearly to ``(B, height, width, C)``."""
    if grid.shape[1:3] == (height, width):
        return grid
    rows = upsampling_matrix(grid.shape[1], height, grid.device)
    columns = upsampling_matrix(grid.shape[2], width, grid.device)
    tall = (rows @ grid.flatten(2)).unflatten(2, grid.shape[2:])
    return columns @ tall


@lru_cache(maxsize=32)
def _coordinates(height: int, width: int, device: torch.device) -> Tensor:
    """Return ``(height, width, 2)`` float32 rows and columns, each from -1 to 1."""
    with torch.inference_mode(False), torch.no_grad():
        axes = (torch.linspace(-1, 1, height), torch.linspace(-1, 1, width))
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).to(device)


def build(*, weights: str | None, state: Mapping[str, Tensor] | None) -> CFA:
    """Build a CFA model; see `models.components.base.Build`.

    Args:
        weights: Tag of the backbone's weights.
        state: The backbone's tensors; None leaves it random.

    Raises:
        ValueError: The weights are unknown, or the tensors are not this backbone's.
    """
    return CFA(Backbone.of(weights, state))
