"""What every model over a frozen backbone does alike; see `models.components.base.FeatureModel`."""

from typing import Any

import torch
from torch import Tensor, nn

from models.components.backbone import Backbone
from models.components.base import Prediction


class OnFeatures(nn.Module):
    """A model that predicts images by their frozen features.

    Args:
        backbone: The frozen part.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def frozen(self) -> Backbone:
        """The backbone."""
        return self.backbone

    def predict(self, images: Tensor) -> dict[str, Prediction]:
        """Predictions by scoring head of images ``(B, 3, H, W)`` in [0, 1]."""
        height, width = images.shape[-2:]
        return self.predict_of_features(self.backbone(images), (height, width))

    @torch.no_grad()
    def predict_of_features(
        self, features: list[Tensor], size: tuple[int, int]
    ) -> dict[str, Prediction]:
        """The same of features, always in evaluation mode and in float32."""
        if self.training:  # `loss` switches back; walking the modules at every call would cost
            self.eval()
        with torch.autocast(features[0].device.type, enabled=False):
            return self.scored(features, size)

    def scored(self, features: list[Tensor], size: tuple[int, int]) -> dict[str, Prediction]:
        """What the model makes of features ``(B, C, h, w)`` of images of a size ``(H, W)``."""
        raise NotImplementedError


class Learns:
    """The loss of images where a model has one of features."""

    backbone: Backbone
    training: bool

    def loss(self, images: Tensor) -> Tensor:
        """Scalar training loss of normal images ``(B, 3, H, W)`` in [0, 1]."""
        loss: Tensor = self.loss_of_features(self.backbone(images))
        return loss

    def loss_of_features(self, features: list[Tensor]) -> Any:
        """Scalar training loss of images with these features."""
        raise NotImplementedError


class Gathers:
    """Statistics of images where a model gathers them of features."""

    backbone: Backbone

    def update(self, images: Tensor) -> None:
        """Take in normal images ``(B, 3, H, W)`` in [0, 1]."""
        self.update_features(self.backbone(images))

    def update_features(self, features: list[Tensor]) -> None:
        """Take in the features of a batch of normal images."""
        raise NotImplementedError
