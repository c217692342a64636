"""FastFlow: Unsupervised Anomaly Detection and Localization via 2D Normalizing Flows (Yu et al., 2021).

A flow per scale of a frozen backbone maps whole feature maps of normal images to standard normal
noise; where the likelihood of an image's noise is low, it is anomalous.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from models.catalog import WEIGHTS
from models.components.anomaly_map import of_maps
from models.components.backbone import STRIDES, Backbone
from models.components.base import AnomalyModel, Batch, Prediction
from models.flows.blocks import convolutional_flow, likelihood_map, negative_log_likelihood


class FastFlow(AnomalyModel):
    """Backbone and one flow per tapped layer.

    Args:
        backbone: Frozen features.
        shapes: ``(C, h, w)`` of each layer's features.
        steps: Number of blocks per flow.
        hidden_ratio: Hidden channels of a coupling's network by its input channels.
        only_3x3: Whether all kernels are 3×3, rather than 3×3 and 1×1 in turn.
        trainable_norm: Whether features pass a trainable LayerNorm over all their dimensions first.
    """

    features_only = True
    backbone: Backbone

    def __init__(
        self,
        backbone: Backbone,
        shapes: Sequence[tuple[int, int, int]],
        *,
        steps: int,
        hidden_ratio: float,
        only_3x3: bool,
        trainable_norm: bool,
    ) -> None:
        super().__init__(backbone)
        self._shapes = list(shapes)
        self.norms = nn.ModuleList(
            nn.LayerNorm(shape) if trainable_norm else nn.Identity() for shape in shapes
        )
        self.flows = nn.ModuleList(
            convolutional_flow(shape, steps, hidden_ratio, only_3x3=only_3x3) for shape in shapes
        )

    def loss(self, batch: Batch) -> Tensor:
        """Return the negative log-likelihood, summed over scales, mean over the batch."""
        latents, log_determinant = self.transform(batch.get_features())
        return negative_log_likelihood(latents, log_determinant).mean()

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Return maps of minus the mean likelihood and their maxima."""
        latents, _ = self.transform(batch.get_features())
        return {"score": of_maps(likelihood_map(latents, batch.size))}

    def transform(self, features: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Return the latents ``(B, C, h, w)`` of features, and log |det J| ``(B,)`` of the flows."""
        raise NotImplementedError
