"""PaDiM: a Patch Distribution Modeling Framework (Defard et al., ICPR 2021 workshops).

A Gaussian is fitted to the training images' features at each position. The anomaly map is the
Mahalanobis distance of an image's features to it.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

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
    """Backbone and one Gaussian per position.

    Attributes:
        channels: ``(C,)`` ascending indices of the channels used, among all concatenated layers.
        gaussians: Gaussians at the positions of the first layer.
        grid: Empty ``(H, W, 0)`` tensor, whose shape can be read without synchronizing a device.

    Args:
        backbone: Frozen features at strides 4, 8 and 16.
        channels: Number of channels, which are drawn at random (section III-C).

    Raises:
        ValueError: The number of channels is not positive or exceeds the backbone's.
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
        drawn = torch.randperm(total, device="cpu")[:channels]  # also in a model without data
        self.register_buffer("channels", drawn.sort().values)
        self._find_bounds()
        self.register_load_state_dict_post_hook(PaDiM._find_bounds)
        self.gaussians = PositionGaussians(channels)
        self.grid: Tensor
        self.register_dynamic_buffer("grid", "height", "width", 0)

    def update(self, batch: Batch) -> None:
        """Add the features of a batch of normal images.

        Raises:
            ValueError: Images differ in size from earlier ones.
        """
        embedding = _Embedding(batch.get_features(), self._channels_by_layer())
        if self.gaussians.is_empty:
            self.grid = torch.empty(*embedding.grid, 0, device=self.channels.device)
        self._check(embedding.grid)
        self.gaussians.update(embedding, math.prod(embedding.grid))

    def compute(self) -> None:
        """Fit the Gaussians.

        Raises:
            ValueError: There are fewer than two images, or features are not finite.
        """
        self.gaussians.compute()

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Return upsampled and blurred distance maps and their maxima.

        Raises:
            RuntimeError: `compute` was not called.
            ValueError: The images differ in size from the training images.
        """
        self._check_fitted(self.gaussians.mean, "Gaussians")
        embedding = _Embedding(batch.get_features(), self._channels_by_layer())
        self._check(embedding.grid)
        distances = self.gaussians.distances(embedding)
        maps = distances.T.unflatten(1, embedding.grid)
        return {"score": of_maps(upsample_and_blur(maps, batch.size))}

    def _find_bounds(self, _: object = None) -> None:
        """Find where the channels of each layer but the first begin.

        It is done ahead, on the host: every batch would wait for the device otherwise.
        """
        drawn, ends = self.channels.tolist(), accumulate(self.backbone.channels[:-1])
        self._bounds = [bisect_left(drawn, end) for end in ends]

    def _channels_by_layer(self) -> Iterator[Tensor]:
        """Yield indices of the channels used among those of each layer."""
        firsts = accumulate(self.backbone.channels[:-1], initial=0)
        for part, first in zip(self.channels.tensor_split(self._bounds), firsts, strict=True):
            yield part - first

    def _check(self, grid: tuple[int, int]) -> None:
        if grid != self.grid.shape[:2]:
            raise ValueError(
                "PaDiM has a Gaussian for each position: wanted images whose first layer's "
                f"features are {tuple(self.grid.shape[:2])} as in training, found {grid}. "
                "Give images of the training images' size."
            )

    def dynamic_misfits(self, tensors: Mapping[str, Tensor]) -> Iterator[str]:
        """Yield contradictions within a checkpoint as clauses."""
        yield from super().dynamic_misfits(tensors)
        positions, total = len(tensors["gaussians.mean"]), sum(self.backbone.channels)
        grid = tuple(tensors["grid"].shape[:2])
        if math.prod(grid) != positions:
            yield f"grid is {grid} where gaussians.mean has {positions} positions"
        if int(tensors["channels"].max()) >= total:
            yield f"channels go up to {int(tensors['channels'].max())} where there are {total}"


class _Embedding:
    """Drawn channels of all layers on the grid of the first, by nearest neighbor.

    Layers are reduced to the drawn channels at their own size and upsampled only for the requested
    positions: the complete embedding is never in memory.

    Attributes:
        grid: Height and width ``(H, W)`` of the first layer.

    Args:
        features: Features ``(B, C_l, h_l, w_l)`` by layer.
        channels: Indices of the drawn channels, by layer.
    """

    def __init__(self, features: list[Tensor], channels: Iterable[Tensor]) -> None:
        height, width = features[0].shape[-2:]
        self.grid = (height, width)
        self._layers: list[Tensor] = []  # (h · w, B, C) each
        self._sources: list[Tensor] = []  # (H · W,) source of each position within h · w
        for layer, drawn in zip(features, channels, strict=True):
            cut = rearrange(layer, "b c h w -> h w b c").index_select(3, drawn).float()
            self._layers.append(cut.flatten(0, 1))
            # Upsampling the indices of the positions instead of the features themselves.
            small = torch.arange(len(self._layers[-1]), device=layer.device, dtype=torch.float32)
            large = F.interpolate(small.view(1, 1, *layer.shape[-2:]), self.grid, mode="nearest")
            self._sources.append(large.flatten().long())

    def __call__(self, block: slice) -> Tensor:
        """Return ``(p, B, C)`` features at a slice of the H · W positions."""
        parts = zip(self._layers, self._sources, strict=True)
        return torch.cat([layer[source[block]] for layer, source in parts], dim=2)


def build(*, weights: str | None, state: Mapping[str, Tensor] | None, channels: int) -> PaDiM:
    """Build a PaDiM; see `models.components.base.Build`.

    Args:
        weights: Tag of the backbone's weights.
        state: Tensors of the backbone; None leaves it random.
        channels: Number of channels drawn from the backbone's layers.

    Raises:
        ValueError: The weights are unknown, the tensors are not this backbone's, or there are too
            many channels.
    """
    return PaDiM(Backbone.of(weights, state, _LAYERS), channels=channels)
