"""DFKDE: kernel density estimate of an image's deep features.

There is no paper; anomalib's documentation describes the model. Its score is a probability, a
decreasing function of the log density. The score here is the negative log density, with the same
ranking but without ties where the density underflows or the function saturates.
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
        pca: Principal components of the last layer's features, averaged over all positions.
        scale: Largest norm of the reduced training features, by which all of them are divided. It
            only shifts the log density, since the kernel has the samples' covariance.
        kde: Density of the scaled features.

    Args:
        backbone: Frozen features at stride 32.
        components: Number of principal components, at most the number of images − 1.
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
        """Fit the principal components and the density.

        Raises:
            ValueError: There are fewer than two images, or images do not differ.
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
        """Return the negative log density, without maps.

        Raises:
            RuntimeError: `compute` was not called.
        """
        self._check_fitted(self.kde.samples, "density")
        reduced = self.pca.transform(_averaged(batch.get_features())) / self.scale
        return {"score": Prediction(scores=-self.kde.log_density(reduced), maps=None)}


def _averaged(features: list[Tensor]) -> Tensor:
    """Return ``(B, C)`` float32 means over all positions."""
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
        state: Tensors of the backbone; None leaves it random.
        components: Number of principal components.
        max_samples: Maximum number of training images used for the density estimate.

    Raises:
        ValueError: The weights are unknown, or the tensors are not this backbone's.
    """
    return DFKDE(
        Backbone.of(weights, state, (_LAYER,)), components=components, max_samples=max_samples
    )
