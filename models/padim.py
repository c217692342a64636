"""PaDiM: a Patch Distribution Modeling Framework (Defard et al., ICPR 2021 workshops).

Each position of the feature map has a Gaussian of its own over the training images. The anomaly
map is the Mahalanobis distance of an image's features to it.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.components.anomaly_map import of_maps, upsample_and_blur
from models.components.backbone import Backbone
from models.components.base import Prediction
from models.components.dynamic_buffers import load_dynamic_buffers
from models.components.gaussian import PositionGaussians
from models.components.on_features import Gathers, OnFeatures

_LAYERS = (1, 2, 3)


class PaDiM(Gathers, OnFeatures):
    """Backbone and Gaussians.

    Attributes:
        channels: ``(C,)`` which of the concatenated layers' channels are used, ascending.
        gaussians: One for each position of the first layer.

    Args:
        backbone: Frozen features at strides 4, 8 and 16.
        channels: How many channels are drawn (section III-C).

    Raises:
        ValueError: There are not so many channels.
    """

    def __init__(self, backbone: Backbone, *, channels: int) -> None:
        super().__init__(backbone)
        total = sum(backbone.channels)
        if not 0 < channels <= total:
            raise ValueError(
                f"PaDiM draws some of the backbone's channels: wanted 1 to {total}, found "
                f"{channels}. Change `channels`."
            )
        self.channels: Tensor
        self.register_buffer("channels", torch.randperm(total)[:channels].sort().values)
        self.gaussians = PositionGaussians(channels)
        self._grid: tuple[int, int] | None = None

    def update_features(self, features: list[Tensor]) -> None:
        """Take in the features of a batch of normal images.

        Raises:
            ValueError: Images of another size than before.
        """
        embedding = _Embedding(features, self.channels)
        self._grid = self._grid or embedding.grid
        self._check(embedding.grid)
        with torch.autocast(self.channels.device.type, enabled=False):
            self.gaussians.update(embedding, math.prod(embedding.grid))

    def compute(self) -> None:
        """Fit the Gaussians.

        Raises:
            ValueError: Fewer than two images, or features that no Gaussian fits.
        """
        with torch.autocast(self.channels.device.type, enabled=False):
            self.gaussians.compute()

    def scored(self, features: list[Tensor], size: tuple[int, int]) -> dict[str, Prediction]:
        """Distances, enlarged and blurred, and the largest.

        Raises:
            RuntimeError: `compute` was not called.
            ValueError: The images are not of the training images' size.
        """
        if self.gaussians.mean.numel() == 0:
            raise RuntimeError(
                "PaDiM has no Gaussians yet: absorb the training images and call finish(), or load "
                "a checkpoint."
            )
        embedding = _Embedding(features, self.channels)
        self._check(embedding.grid)
        distances = self.gaussians.distances(embedding)
        maps = distances.T.unflatten(1, embedding.grid)
        return {"score": of_maps(upsample_and_blur(maps, size))}

    def _check(self, grid: tuple[int, int]) -> None:
        if grid != self._grid:
            raise ValueError(
                "PaDiM has a Gaussian for each position: wanted images whose first layer's "
                f"features are {self._grid} as in training, found {grid}. Give images of the "
                "training images' size."
            )

    def checkpoint(self) -> dict[str, Any]:
        """The drawn channels and the Gaussians."""
        return {
            "channels": self.channels,
            "grid": torch.tensor(self._grid or ()),
            "mean": self.gaussians.mean,
            "whitening": self.gaussians.whitening,
        }

    def load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Take back what `checkpoint` gave.

        Raises:
            ValueError: It is of another model, or of one that was not finished.
        """
        shapes = {
            "channels": "channels",
            "grid": "sides",
            "mean": "positions channels",
            "whitening": "positions rows channels",
        }
        taken = load_dynamic_buffers(
            checkpoint, shapes, self.channels.device, channels=len(self.channels), sides=2
        )
        height, width = taken["grid"].tolist()
        total = sum(self.backbone.channels)
        if height * width != len(taken["mean"]) or int(taken["channels"].max()) >= total:
            raise ValueError(
                f"This is a checkpoint of another model: wanted Gaussians of a {height}×{width} "
                f"grid over some of {total} channels, found {len(taken['mean'])} of them, over "
                f"channels up to {int(taken['channels'].max())}. Give the one that was saved from "
                "this configuration."
            )
        self.channels, self._grid = taken["channels"], (height, width)
        self.gaussians.mean, self.gaussians.whitening = taken["mean"], taken["whitening"]


class _Embedding:
    """Drawn channels of all layers on the first one's grid, by nearest neighbor.

    Layers are cut down to their drawn channels at their own size, and enlarged for the positions
    that are asked for: the whole never lies in memory.

    Attributes:
        grid: ``(H, W)`` of the first layer.

    Args:
        features: ``(B, C_l, h_l, w_l)`` each.
        channels: ``(C,)`` ascending, of the concatenated layers.
    """

    def __init__(self, features: list[Tensor], channels: Tensor) -> None:
        height, width = features[0].shape[-2:]
        self.grid = (height, width)
        self._layers: list[Tensor] = []  # (h · w, B, C) each
        self._sources: list[Tensor] = []  # (H · W,) the position that each one repeats
        first = 0
        for layer in features:
            drawn = channels[(channels >= first) & (channels < first + layer.shape[1])] - first
            first += layer.shape[1]
            cut = layer.permute(2, 3, 0, 1).index_select(3, drawn).float()
            self._layers.append(cut.flatten(0, 1))
            small = torch.arange(len(self._layers[-1]), device=layer.device, dtype=torch.float32)
            large = F.interpolate(small.view(1, 1, *layer.shape[-2:]), self.grid, mode="nearest")
            self._sources.append(large.flatten().long())

    def __call__(self, block: slice) -> Tensor:
        """``(p, B, C)`` at a slice of the H · W positions."""
        parts = zip(self._layers, self._sources, strict=True)
        return torch.cat([layer[source[block]] for layer, source in parts], dim=2)


def build(*, weights: str | None, state: Mapping[str, Tensor] | None, channels: int) -> PaDiM:
    """Build a PaDiM; see `models.components.base.Build`.

    Args:
        weights: Tag of the backbone's weights.
        state: The backbone's tensors; None leaves it random.
        channels: How many of its layers' channels are drawn.

    Raises:
        ValueError: Unknown weights, tensors that are not this backbone's, or too many channels.
    """
    return PaDiM(Backbone.of(weights, state, _LAYERS), channels=channels)
