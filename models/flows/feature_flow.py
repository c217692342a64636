"""Base of the flows that score positions by the likelihood of whole feature maps."""

from collections.abc import Sequence

from torch import Tensor

from models.components.anomaly_map import of_maps
from models.components.base import AnomalyModel, Batch, Prediction
from models.components.frozen_backbone import FrozenBackbone
from models.components.image_size import ImageSize, height_width
from models.flows.blocks import likelihood_map, negative_log_likelihood


class FeatureFlow(AnomalyModel):
    """Backbone and a map from the features of all its tapped layers to standard normal noise.

    Args:
        backbone: Frozen features.
        image_size: Size of the images in pixels.
    """

    features_only = True
    score_version = 2
    backbone: FrozenBackbone

    def __init__(self, backbone: FrozenBackbone, image_size: ImageSize) -> None:
        super().__init__(backbone)
        self._shapes = backbone.shapes(height_width(image_size))

    def loss(self, batch: Batch) -> Tensor:
        """Return the negative log-likelihood of all scales together, mean over the batch."""
        latents, log_determinant = self.transform(batch.get_features())
        return negative_log_likelihood(latents, log_determinant).mean()

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Return maps of minus the log of the scales' mean likelihood, and their maxima."""
        latents, _ = self.transform(batch.get_features())
        return {"score": of_maps(likelihood_map(latents, batch.size))}

    def transform(self, features: Sequence[Tensor]) -> tuple[Sequence[Tensor], Tensor]:
        """Return latents ``(B, C, h, w)`` by layer, and log |det J| ``(B,)`` of all together.

        Raises:
            ImageSizeError: The features are of images of another size.
        """
        raise NotImplementedError
