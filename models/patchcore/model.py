"""PatchCore: Toward Total Recall in Industrial Anomaly Detection (Roth et al., CVPR 2022).

Features of all patches of the normal images go into a memory bank, which is thinned to a coreset.
A patch is as anomalous as it is far from the nearest patch of the bank, an image as its most
anomalous patch.

Maps are of distances, as in the paper. The official code searches by squared distances and blurs
those: the scores of images, their maxima, have the same order.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor

from models.components.anomaly_map import repeat_and_blur, upsample_and_blur
from models.components.backbone import Backbone
from models.components.base import AnomalyModel, Batch, Prediction
from models.components.coreset import k_center_greedy, k_center_greedy_approximate
from models.components.errors import TooFewImagesError
from models.components.random_projection import dense_projection, sparse_projection
from models.patchcore.embedding import ConcatenatedEmbedding, PooledEmbedding
from models.patchcore.memory_bank import MemoryBank

_LAYERS = (2, 3)
_STARTS = 10  # points that the official coreset's first distances are measured to
_EMBEDDINGS = {"pooled": PooledEmbedding, "concatenated": ConcatenatedEmbedding}

Embedding = Literal["pooled", "concatenated"]
Projection = Literal["dense", "sparse"]
Coreset = Literal["exact", "approximate"]
Upsampling = Literal["bilinear", "nearest"]


class PatchCore(AnomalyModel):
    """Backbone, patch features and memory bank.

    Attributes:
        embedding: Computes patch features from the backbone's features.
        memory_bank: The coreset.

    Args:
        backbone: Frozen features at strides 8 and 16.
        ratio: Share of all patches that the coreset keeps.
        embedding: ``pooled`` to 1024 numbers or layers ``concatenated``.
        projection: Projection of the features in which the coreset is picked.
        coreset: The ``exact`` greedy algorithm or the official code's ``approximate`` one.
        neighbors: How many neighbors of the nearest patch weight an image's score (equation 7);
            1 leaves it as it is.
        upsampling: Upsampling of the maps.
    """

    features_only = True
    backbone: Backbone

    def __init__(
        self,
        backbone: Backbone,
        *,
        ratio: float,
        embedding: Embedding,
        projection: Projection,
        coreset: Coreset,
        neighbors: int,
        upsampling: Upsampling,
    ) -> None:
        super().__init__(backbone)
        self.embedding: PooledEmbedding | ConcatenatedEmbedding
        self.embedding = _EMBEDDINGS[embedding](backbone.channels)
        self.memory_bank = MemoryBank(self.embedding.channels)
        self._ratio = ratio
        self._projection = projection
        self._coreset = coreset
        self._neighbors = neighbors
        self._enlarge = repeat_and_blur if upsampling == "nearest" else upsample_and_blur
        self._patches: list[Tensor] = []

    def update(self, batch: Batch) -> None:
        """Add the patch features of a batch of normal images."""
        self._patches.append(_patches(self.embedding(batch.get_features())))

    def compute(self) -> None:
        """Pick the coreset (section 3.2).

        In addition to the patch features, needs memory for three copies of their projections.

        Raises:
            ValueError: So few patches that the ratio leaves none, or features that are not finite.
        """
        patches, self._patches = self._patches, []
        total = sum(len(part) for part in patches)
        count = int(total * self._ratio)
        if not count:
            raise TooFewImagesError(
                f"PatchCore keeps {self._ratio:.3g} of the patches: found {total}, which leaves "
                "none. Add normal images to the training split or raise `ratio`."
            )
        picks = self._picks(self._projected(patches, total), count)
        self.memory_bank.fill(_taken(patches, picks))

    def _projected(self, parts: list[Tensor], total: int) -> Tensor:
        """Return ``(N, p)`` features in which the coreset is picked."""
        channels = self.embedding.channels
        if self._projection == "dense":
            projection = dense_projection(channels)
        else:
            projection = sparse_projection(channels, total)
        projection = projection.to(parts[0].device)
        projected = parts[0].new_empty(total, projection.shape[1])
        begin = 0
        for part in parts:
            torch.mm(part, projection, out=projected[begin : begin + len(part)])
            begin += len(part)
        return projected

    def _picks(self, points: Tensor, count: int) -> Tensor:
        if self._coreset == "exact":
            return k_center_greedy(points, count, int(torch.randint(len(points), ())))
        starts = torch.randperm(len(points))[:_STARTS]
        return k_center_greedy_approximate(points, count, starts)

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Return distances to the nearest patches, enlarged and blurred, and the largest, weighted.

        Raises:
            RuntimeError: `compute` was not called.
        """
        self._check_fitted(self.memory_bank.patches, "memory bank")
        embedding = self.embedding(batch.get_features())
        patches = _patches(embedding)
        distances, nearest = self.memory_bank.nearest(patches)
        count, _, height, width = embedding.shape
        scores, worst = distances.view(count, -1).max(dim=1)
        if self._neighbors > 1:
            # From the position within an image to the row among the patches of all images.
            worst = worst + torch.arange(count, device=worst.device) * height * width
            scores = scores * self._weights(patches[worst], nearest[worst])
        maps = self._enlarge(distances.view(count, height, width), batch.size)
        return {"score": Prediction(scores=scores, maps=maps)}

    def _weights(self, patches: Tensor, nearest: Tensor) -> Tensor:
        """Return ``(B,)`` 1 − softmax of distances to the nearest patch's neighbors (equation 7).

        Smaller if the patches around the nearest one are as far away: then it is not rare itself.

        Args:
            patches: ``(B, C)`` the most anomalous patch of each image.
            nearest: ``(B,)`` index of its nearest one in the bank.
        """
        neighborhood = self.memory_bank.neighborhood(nearest, self._neighbors)
        distances = self.memory_bank.distances(patches, neighborhood)
        return 1 - distances.softmax(dim=1)[:, 0]


def _patches(embedding: Tensor) -> Tensor:
    return rearrange(embedding, "b c h w -> (b h w) c")


def _taken(parts: list[Tensor], picks: Tensor) -> Tensor:
    """Return rows ``(M, C)`` of consecutive parts, without concatenating these."""
    bank = parts[0].new_empty(len(picks), parts[0].shape[1])
    begin = 0
    for part in parts:
        mine = ((picks >= begin) & (picks < begin + len(part))).nonzero().squeeze(1)
        bank[mine] = part[picks[mine] - begin]
        begin += len(part)
    return bank


def build(
    *,
    weights: str | None,
    state: Mapping[str, Tensor] | None,
    ratio: float = 0.1,
    embedding: Embedding = "pooled",
    projection: Projection = "dense",
    coreset: Coreset = "exact",
    neighbors: int = 1,
    upsampling: Upsampling = "bilinear",
) -> PatchCore:
    """Build a PatchCore; see `models.components.base.Build`.

    Args:
        weights: Tag of the backbone's weights.
        state: The backbone's tensors; None leaves it random.
        ratio: Share of all patches that the coreset keeps.
        embedding: ``pooled`` as in the official code, ``concatenated`` as in anomalib.
        projection: ``dense`` to 128 numbers as in the official code, ``sparse`` as in anomalib.
        coreset: ``exact`` or, as in the official code, ``approximate``.
        neighbors: Number of neighbors that weight an image's score; 1 for no weighting.
        upsampling: Upsampling of the maps, ``bilinear`` or, as in anomalib, ``nearest``.

    Raises:
        ValueError: Unknown names, numbers out of range, or tensors that are not this backbone's.
    """
    for name, value, known in (
        ("embedding", embedding, _EMBEDDINGS),
        ("projection", projection, ("dense", "sparse")),
        ("coreset", coreset, ("exact", "approximate")),
        ("upsampling", upsampling, ("bilinear", "nearest")),
    ):
        if value not in known:
            raise ValueError(f"Unknown {name} '{value}': choose from {', '.join(known)}.")
    if not 0 < ratio <= 1 or neighbors < 1:
        raise ValueError(
            "PatchCore keeps a share of the patches above 0 and at most 1, and uses one neighbor "
            f"or more: found ratio {ratio} and {neighbors} neighbors."
        )
    return PatchCore(
        Backbone.of(weights, state, _LAYERS),
        ratio=ratio,
        embedding=embedding,
        projection=projection,
        coreset=coreset,
        neighbors=neighbors,
        upsampling=upsampling,
    )
