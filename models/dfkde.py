"""DFKDE: the density of an image's deep features, estimated with Gaussian kernels.

There is no paper; anomalib's documentation describes the model. Its score is a probability, a
decreasing function of the log density. This one is the negative log density, which gives the same
ranking without the probability's ties where the density underflows or the function saturates.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from models.components.backbone import Backbone
from models.components.base import AnomalyModel, Batch, Prediction
from models.components.kde import KDE
from models.components.pca import PCA

_LAYER = 4


class DFKDE(AnomalyModel):
    """Backbone, principal components and kernel density.

    Attributes:
        pca: Of the last layer's features, averaged over all positions.
        scale: The largest norm among the training images' principal components, which all are
            divided by. A constant of the log density, since the kernel takes the samples' shape.
        kde: Of what that gives.

    Args:
        backbone: Frozen features at stride 32.
        components: How many principal components; with fewer images than that, one less than there
            are images.
        max_samples: Maximum number of training images used for the density estimate; larger sets
            are subsampled at random.
    """

    features_only = True
    backbone: Backbone

    def __init__(self, backbone: Backbone, *, components: int, max_samples: int) -> None:
        super().__init__(backbone)
        self._max_samples = max_samples
        self._samples: list[Tensor] = []
        self.pca = PCA(components, backbone.channels[0])
        self.kde = KDE()
        self.scale: Tensor
        self.register_dynamic_buffer("scale")

    def update(self, batch: Batch) -> None:
        """Add the averaged features of a batch of normal images."""
        self._samples.append(_averaged(batch.get_features()))

    def compute(self) -> None:
        """Find the components and take the samples of the density.

        Raises:
            ValueError: Fewer than two images, or images that do not differ.
        """
        none = self.scale.new_empty(0, self.backbone.channels[0])
        samples = torch.cat([none, *self._samples])
        self._samples.clear()
        if len(samples) > self._max_samples:
            drawn = torch.randperm(len(samples))[: self._max_samples]
            samples = samples[drawn.to(samples.device)]
        self.pca.update(samples)
        self.pca.compute()
        reduced = self.pca.transform(samples)
        self.scale = torch.linalg.vector_norm(reduced, dim=1).max()
        self.kde.fit(reduced / self.scale)

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Return the negative logarithm of the density; no map.

        Raises:
            RuntimeError: `compute` was not called.
        """
        self._check_fitted(self.kde.samples, "density")
        reduced = self.pca.transform(_averaged(batch.get_features())) / self.scale
        return {"score": Prediction(scores=-self.kde.log_density(reduced), maps=None)}


def _averaged(features: list[Tensor]) -> Tensor:
    """``(B, C)`` float32 means over all positions."""
    (layer,) = features
    return layer.float().mean(dim=(2, 3))


def build(
    *,
    weights: str | None,
    state: Mapping[str, Tensor] | None,
    components: int = 16,
    max_samples: int = 40_000,
) -> DFKDE:
    """Build a DFKDE; see `models.components.base.Build`.

    Args:
        weights: Tag of the backbone's weights.
        state: The backbone's tensors; None leaves it random.
        components: How many principal components.
        max_samples: Maximum number of training images used for the density estimate.

    Raises:
        ValueError: Unknown weights, or tensors that are not this backbone's.
    """
    return DFKDE(
        Backbone.of(weights, state, (_LAYER,)), components=components, max_samples=max_samples
    )
