"""PaDiM: a Patch Distribution Modeling Framework (Defard et al., ICPR 2021 workshops).

Each position of the feature map has a Gaussian of its own over the training images. The anomaly
map is the Mahalanobis distance of an image's features to it.
"""

import math
from collections.abc import Iterator, Mapping

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from models.components.anomaly_map import of_maps, upsample_and_blur
from models.components.backbone import Backbone
from models.components.base import AnomalyModel, Batch, Prediction
from models.components.gaussian import PositionGaussians

_LAYERS = (1, 2, 3)


class PaDiM(AnomalyModel):
    """Backbone and Gaussians.

    Attributes:
        channels: ``(C,)`` which of the concatenated layers' channels are used, ascending.
        gaussians: One for each position of the first layer.
        grid: ``(H, W, 0)``: its shape alone counts, which is known without waiting for a device.

    Args:
        backbone: Frozen features at strides 4, 8 and 16.
        channels: How many channels are drawn (section III-C).

    Raises:
        ValueError: There are not so many channels.
    """

    features_only = True
    backbone: Backbone

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
        self.grid: Tensor
        self.register_dynamic_buffer("grid", "height", "width", 0)

    def update(self, batch: Batch) -> None:
        """Take in the features of a batch of normal images.

        Raises:
            ValueError: Images of another size than before.
        """
        embedding = _Embedding(batch.get_features(), self.channels)
        if self.grid.ndim == 1:
            self.grid = torch.empty(*embedding.grid, 0, device=self.channels.device)
        self._check(embedding.grid)
        self.gaussians.update(embedding, math.prod(embedding.grid))

    def compute(self) -> None:
        """Fit the Gaussians.

        Raises:
            ValueError: Fewer than two images, or features that no Gaussian fits.
        """
        self.gaussians.compute()

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Return the distances, enlarged and blurred, and the largest.

        Raises:
            RuntimeError: `compute` was not called.
            ValueError: The images are not of the training images' size.
        """
        self._check_fitted(self.gaussians.mean, "Gaussians")
        embedding = _Embedding(batch.get_features(), self.channels)
        self._check(embedding.grid)
        distances = self.gaussians.distances(embedding)
        maps = distances.T.unflatten(1, embedding.grid)
        return {"score": of_maps(upsample_and_blur(maps, batch.size))}

    def _check(self, grid: tuple[int, int]) -> None:
        if grid != self.grid.shape[:2]:
            raise ValueError(
                "PaDiM has a Gaussian for each position: wanted images whose first layer's "
                f"features are {tuple(self.grid.shape[:2])} as in training, found {grid}. "
                "Give images of the training images' size."
            )

    def dynamic_misfits(self, tensors: Mapping[str, Tensor]) -> Iterator[str]:
        """Yield what contradicts itself in a checkpoint, as clauses."""
        yield from super().dynamic_misfits(tensors)
        positions, total = len(tensors["gaussians.mean"]), sum(self.backbone.channels)
        grid = tuple(tensors["grid"].shape[:2])
        if math.prod(grid) != positions:
            yield f"grid is {grid} where gaussians.mean has {positions} positions"
        if int(tensors["channels"].max()) >= total:
            yield f"channels go up to {int(tensors['channels'].max())} where there are {total}"


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
            cut = rearrange(layer, "b c h w -> h w b c").index_select(3, drawn).float()
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
