"""FastFlow: Anomaly Detection and Localization via 2D Normalizing Flows (Yu et al., 2021).

A flow per scale of a frozen backbone maps whole feature maps of normal images to standard normal
noise; where the likelihood of an image's noise is low, it is anomalous.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from models.catalog import WEIGHTS
from models.components.backbone import Backbone
from models.components.frozen_backbone import FrozenBackbone
from models.components.image_size import ImageSize, height_width
from models.components.transformer_backbone import TransformerBackbone
from models.flows.blocks import FeatureNorms, check_shapes, convolutional_flow
from models.flows.feature_flow import FeatureFlow


class FastFlow(FeatureFlow):
    """Backbone and one flow per tapped layer.

    The features of a CNN pass through a trainable LayerNorm over all their dimensions, which the
    paper does not mention but its values need, as public reimplementations found; a transformer's
    pass through its own last LayerNorm, a frozen part of the backbone.

    Args:
        backbone: Frozen features.
        image_size: Size of the images in pixels.
        steps: Number of blocks per flow.
        hidden_ratio: Hidden channels of a coupling's network over its input channels.
        only_3x3: Whether all kernels are 3×3, rather than 3×3 and 1×1 in turn.
        norms: Trainable norms of the features, or None.
    """

    def __init__(
        self,
        backbone: FrozenBackbone,
        *,
        image_size: ImageSize,
        steps: int,
        hidden_ratio: float,
        only_3x3: bool,
        norms: FeatureNorms | None,
    ) -> None:
        super().__init__(backbone, image_size)
        self.norms = norms
        self.flows = nn.ModuleList(
            convolutional_flow(shape, steps, hidden_ratio, only_3x3=only_3x3)
            for shape in self._shapes
        )

    def transform(self, features: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Return latents ``(B, C, h, w)`` by layer, and log |det J| ``(B,)`` of all flows together.

        Raises:
            ImageSizeError: The features are of images of another size.
        """
        check_shapes(features, self._shapes)
        # Float32 even under autocast: a likelihood sums a million squares.
        with torch.autocast(features[0].device.type, enabled=False):
            normed, log_determinant = self.norms(features) if self.norms else (features, 0.0)
            results = [flow(layer) for flow, layer in zip(self.flows, normed, strict=True)]
        return [z for z, _ in results], sum((each for _, each in results), log_determinant)


def build(
    *,
    weights: str | None,
    state: Mapping[str, Tensor] | None,
    layers: Sequence[int],
    image_size: ImageSize = 256,
    steps: int = 8,
    hidden_ratio: float = 1.0,
    only_3x3: bool = False,
    count_norms: bool = True,
) -> FastFlow:
    """Build a FastFlow model; see `models.components.base.Build`.

    Args:
        weights: Tag of the backbone's weights.
        state: Tensors of the backbone; None leaves it random.
        layers: Tapped stages of a CNN, from 1, or tapped blocks of a transformer, from 0.
        image_size: Size of the images in pixels, after cropping.
        steps: Number of blocks per flow.
        hidden_ratio: Hidden channels of a coupling's network over its input channels.
        only_3x3: Whether all kernels are 3×3, rather than 3×3 and 1×1 in turn.
        count_norms: Whether the log-determinant of a CNN's trainable norms counts.

    Raises:
        ValueError: The weights are unknown, or the tensors are not this backbone's.
    """
    transformer = weights in WEIGHTS and WEIGHTS[weights].architecture.startswith(("deit", "cait"))
    backbone: FrozenBackbone = (
        TransformerBackbone.of(weights, state, layers, image_size=image_size, norm=True)
        if transformer
        else Backbone.of(weights, state, layers)
    )
    shapes = backbone.shapes(height_width(image_size))
    return FastFlow(
        backbone,
        image_size=image_size,
        steps=steps,
        hidden_ratio=hidden_ratio,
        only_3x3=only_3x3,
        norms=None if transformer else FeatureNorms(shapes, counted=count_norms),
    )
