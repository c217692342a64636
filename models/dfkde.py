"""DFKDE: the density of an image's deep features, estimated with Gaussian kernels.

There is no paper; anomalib's documentation describes the model. Its score is a probability, a
decreasing function of the density's logarithm; this one is that logarithm's negative, which ranks
alike, without the probability's ties where the density underflows or the function saturates.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from models.components.backbone import Backbone
from models.components.base import Prediction
from models.components.dynamic_buffers import load_dynamic_buffers
from models.components.kde import KDE
from models.components.on_features import Gathers, OnFeatures
from models.components.pca import PCA

_LAYER = 4


class DFKDE(Gathers, OnFeatures):
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
        most: How many images the density is made of at most; of more, so many are drawn.
    """

    def __init__(self, backbone: Backbone, *, components: int, most: int) -> None:
        super().__init__(backbone)
        self._most = most
        self._absorbed: list[Tensor] = []
        self.pca = PCA(components)
        self.kde = KDE()
        self.scale: Tensor
        self.register_buffer("scale", torch.empty(()))

    def update_features(self, features: list[Tensor]) -> None:
        """Take in the features of a batch of normal images."""
        self._absorbed.append(_averaged(features))

    def compute(self) -> None:
        """Find the components and take the samples of the density.

        Raises:
            ValueError: Fewer than two images, or images that do not differ.
        """
        none = self.scale.new_empty(0, self.backbone.channels[0])
        samples = torch.cat([none, *self._absorbed])
        self._absorbed.clear()
        if len(samples) > self._most:
            drawn = torch.randperm(len(samples))[: self._most]
            samples = samples[drawn.to(samples.device)]
        self.pca.update(samples)
        self.pca.compute()
        reduced = self.pca.transform(samples)
        self.scale = torch.linalg.vector_norm(reduced, dim=1).max()
        self.kde.fit(reduced / self.scale)

    def scored(self, features: list[Tensor], size: tuple[int, int]) -> dict[str, Prediction]:
        """The negative logarithm of the density; no map.

        Raises:
            RuntimeError: `compute` was not called.
        """
        if self.kde.samples.numel() == 0:
            raise RuntimeError(
                "DFKDE has no density yet: absorb the training images and call finish(), or load a "
                "checkpoint."
            )
        reduced = self.pca.transform(_averaged(features)) / self.scale
        return {"score": Prediction(scores=-self.kde.log_density(reduced), maps=None)}

    def checkpoint(self) -> dict[str, Any]:
        """The components and the density."""
        kept = {"scale": self.scale}
        for name, module in (("pca", self.pca), ("kde", self.kde)):
            kept |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
        return kept

    def load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Take back what `checkpoint` gave.

        Raises:
            ValueError: It is of another model, or of one that was not finished.
        """
        shapes = {
            "scale": "",
            "pca.mean": "channels",
            "pca.components": "components channels",
            "pca.variances": "components",
            "kde.mean": "components",
            "kde.whitening": "components components",
            "kde.samples": "images components",
            "kde.log_norm": "",
        }
        taken = load_dynamic_buffers(
            checkpoint, shapes, self.scale.device, channels=self.backbone.channels[0]
        )
        self.scale = taken.pop("scale")
        for name, tensor in taken.items():
            part, _, buffer = name.partition(".")
            setattr(self.get_submodule(part), buffer, tensor)


def _averaged(features: list[Tensor]) -> Tensor:
    """``(B, C)`` float32 means over all positions."""
    (layer,) = features
    return layer.float().mean(dim=(2, 3))


def build(
    *,
    weights: str | None,
    state: Mapping[str, Tensor] | None,
    components: int = 16,
    most: int = 40_000,
) -> DFKDE:
    """Build a DFKDE; see `models.components.base.Build`.

    Args:
        weights: Tag of the backbone's weights.
        state: The backbone's tensors; None leaves it random.
        components: How many principal components.
        most: How many images the density is made of at most.

    Raises:
        ValueError: Unknown weights, or tensors that are not this backbone's.
    """
    return DFKDE(Backbone.of(weights, state, (_LAYER,)), components=components, most=most)
