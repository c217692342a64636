"""DFM: Probabilistic Modeling of Deep Features (Ahuja et al., 2019).

Principal components of pooled features capture what normal images have in common. The score of an
image is its reconstruction error (`fre`), or its negative log-likelihood under a Gaussian in the
space of the components (`nll`).
"""

import math
from collections.abc import Iterator, Mapping
from typing import Literal, get_args

from torch import Tensor
from torch.nn import functional as F

from models.components.anomaly_map import resize_maps
from models.components.backbone import Backbone
from models.components.base import AnomalyModel, Batch, Prediction
from models.components.errors import ImageSizeError
from models.components.pca import PCA

Score = Literal["fre", "nll"]

_LAYER = 3

_POOL = 4
"""Window and stride of the average pooling, after which all positions form one vector."""

_VARIANCE = 0.97
"""Share of the variance that the principal components hold."""


class DFM(AnomalyModel):
    """Backbone and principal components.

    Attributes:
        pca: Principal components of vectors of C · h · w numbers, channels first.
        grid: Empty ``(h, w, 0)`` tensor, whose shape can be read without synchronizing a device.

    Args:
        backbone: Frozen features at stride 16.
        score: ``fre``, the squared feature reconstruction error, or ``nll``, the negative
            log-likelihood of the reduced features, which has no maps.

    Raises:
        ValueError: The score is unknown.
    """

    features_only = True
    backbone: Backbone

    def __init__(self, backbone: Backbone, *, score: Score) -> None:
        super().__init__(backbone)
        if score not in get_args(Score):
            raise ValueError(f"Unknown score '{score}': choose from {', '.join(get_args(Score))}.")
        self._score = score
        self.pca = PCA(_VARIANCE)
        self.grid: Tensor
        self.register_dynamic_buffer("grid", "height", "width", 0)

    def update(self, batch: Batch) -> None:
        """Add the features of a batch of normal images.

        Raises:
            ValueError: Images are too small, or differ in size from earlier ones.
        """
        pooled = _pooled(batch.get_features())
        if self.pca.is_empty:
            self.grid = pooled.new_empty(*pooled.shape[2:], 0)
        self.pca.update(self._vectors(pooled))

    def compute(self) -> None:
        """Fit the principal components.

        Raises:
            ValueError: There are fewer than two images, or images do not differ.
        """
        self.pca.compute()

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Return the scores; for ``fre`` also the upsampled error maps, without blur.

        Raises:
            RuntimeError: `compute` was not called.
            ValueError: The images differ in size from the training images.
        """
        self._check_fitted(self.pca.mean, "principal components")
        pooled = _pooled(batch.get_features())
        vectors = self._vectors(pooled)
        if self._score == "nll":
            return {"score": Prediction(scores=self._negative_log_likelihood(vectors), maps=None)}
        errors = self.pca.residual(vectors).square().view(pooled.shape).sum(dim=1)
        maps = resize_maps(errors, batch.size)
        return {"score": Prediction(scores=errors.sum(dim=(1, 2)), maps=maps)}

    def _negative_log_likelihood(self, vectors: Tensor) -> Tensor:
        """Return ``(B,)`` values under the maximum-likelihood Gaussian of the training coordinates.

        Its mean is zero and its covariance diagonal, since these are principal components.
        """
        variances = self.pca.variances
        squares = (self.pca.transform(vectors).square() / variances).sum(dim=1)
        return 0.5 * (squares + variances.log().sum() + len(variances) * math.log(2 * math.pi))

    def _vectors(self, pooled: Tensor) -> Tensor:
        """Flatten pooled features to ``(B, C · h · w)`` after checking their size."""
        if pooled.shape[2:] != self.grid.shape[:2]:
            raise ValueError(
                "DFM models all positions of an image together: wanted pooled features on a grid "
                f"of {tuple(self.grid.shape[:2])} as in training, found {tuple(pooled.shape[2:])}. "
                "Give images of the training images' size."
            )
        return pooled.flatten(1)

    def dynamic_misfits(self, tensors: Mapping[str, Tensor]) -> Iterator[str]:
        """Yield contradictions within a checkpoint as clauses."""
        yield from super().dynamic_misfits(tensors)
        height, width = (*tensors["grid"].shape, 0)[:2]
        numbers = self.backbone.channels[0] * height * width
        if len(tensors["pca.mean"]) != numbers:
            yield f"pca.mean has {len(tensors['pca.mean'])} numbers where {numbers} are wanted"


def _pooled(features: list[Tensor]) -> Tensor:
    """Return pooled features ``(B, C, h / 4, w / 4)``, float32 and contiguous."""
    (layer,) = features
    if min(layer.shape[-2:]) < _POOL:
        raise ImageSizeError(
            f"DFM pools layer {_LAYER}'s features {_POOL}-fold: wanted {_POOL}×{_POOL} of them or "
            f"more, found {layer.shape[-2]}×{layer.shape[-1]}. Give images of 64 pixels or more."
        )
    return F.avg_pool2d(layer.float(), _POOL).contiguous()


def build(*, weights: str | None, state: Mapping[str, Tensor] | None, score: Score) -> DFM:
    """Build a DFM; see `models.components.base.Build`.

    Args:
        weights: Tag of the backbone's weights.
        state: Tensors of the backbone; None leaves it random.
        score: ``fre`` or ``nll``.

    Raises:
        ValueError: A name is unknown, or the tensors are not this backbone's.
    """
    return DFM(Backbone.of(weights, state, (_LAYER,)), score=score)
