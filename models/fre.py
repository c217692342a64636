"""FRE: A Fast Method For Anomaly Detection And Segmentation (Ndiour et al., 2022).

A linear autoencoder learns the subspace of normal features; the part of an image's features that it
cannot reconstruct, the feature reconstruction error, is the anomaly map.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.components.anomaly_map import resize_maps
from models.components.backbone import STRIDES, Backbone
from models.components.base import AnomalyModel, Batch, Prediction
from models.components.errors import ImageSizeError
from models.components.image_size import ImageSize, height_width, size_text

_LAYER = 3
_POOL = 2
"""Window and stride of the average pooling before the autoencoder."""


class TiedAutoencoder(nn.Module):
    """Linear autoencoder whose decoder is the transposed encoder.

    Both have a bias: features follow a ReLU and have a large mean, which the decoder's bias can
    learn, like the centering of a PCA. The paper mentions no bias.

    Args:
        dimension: Dimension of the input.
        latent: Dimension of the code.
    """

    def __init__(self, dimension: int, latent: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(latent, dimension))
        self.encoder_bias = nn.Parameter(torch.zeros(latent))
        self.decoder_bias = nn.Parameter(torch.zeros(dimension))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, vectors: Tensor) -> Tensor:
        """Reconstruct vectors ``(B, dimension)``."""
        code = F.linear(vectors, self.weight, self.encoder_bias)
        return F.linear(code, self.weight.T, self.decoder_bias)


class FRE(AnomalyModel):
    """Backbone and tied autoencoder.

    Args:
        backbone: Frozen features at stride 16.
        image_size: Size of the images in pixels, which determines the autoencoder's size.
        latent: Dimension of the autoencoder's code.

    Raises:
        ValueError: The features of images of this size are too small to pool.
    """

    features_only = True
    backbone: Backbone

    def __init__(self, backbone: Backbone, *, image_size: ImageSize, latent: int) -> None:
        super().__init__(backbone)
        # Each stage of a ResNet rounds up.
        height, width = (-(-side // STRIDES[_LAYER]) for side in height_width(image_size))
        if min(height, width) < _POOL:
            min_size = STRIDES[_LAYER] * (_POOL - 1) + 1
            raise ImageSizeError(
                f"FRE pools layer {_LAYER}'s features {_POOL}-fold: wanted images of {min_size} "
                f"pixels or more, found {size_text(image_size)}. Choose a larger image size."
            )
        self._image_size = image_size
        self._shape = (backbone.channels[0], height, width)
        dimension = backbone.channels[0] * (height // _POOL) * (width // _POOL)
        self.autoencoder = TiedAutoencoder(dimension, latent)

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean squared reconstruction error of pooled features."""
        # Float32 even under autocast: a residual is a difference of nearly equal numbers.
        features = batch.get_features()
        with torch.autocast(features[0].device.type, enabled=False):
            return self._squared_errors(features).mean()

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Return upsampled maps of the squared error, summed over channels, and its total as score.

        Upsampling is bilinear and without blur, as in the authors' code.
        """
        errors = self._squared_errors(batch.get_features()).sum(dim=1)
        maps = resize_maps(errors, batch.size)
        return {"score": Prediction(scores=errors.sum(dim=(1, 2)), maps=maps)}

    def _squared_errors(self, features: list[Tensor]) -> Tensor:
        """Return ``(B, C, h / 2, w / 2)`` squared errors of rebuilt ``(B, C, h, w)`` features."""
        (layer,) = features
        if layer.shape[1:] != self._shape:
            raise ImageSizeError(
                f"This FRE was built for images of {size_text(self._image_size)} pixels: wanted "
                f"features of shape {self._shape}, found {tuple(layer.shape[1:])}. Build it with "
                "the image size in use, the crop's if images are cropped."
            )
        pooled = F.avg_pool2d(layer.float(), _POOL)
        vectors = pooled.flatten(1)
        return (self.autoencoder(vectors) - vectors).square().unflatten(1, pooled.shape[1:])


def build(
    *,
    weights: str | None,
    state: Mapping[str, Tensor] | None,
    image_size: ImageSize = 256,
    latent: int = 220,
) -> FRE:
    """Build an FRE model; see `models.components.base.Build`.

    Args:
        weights: Tag of the backbone's weights.
        state: Tensors of the backbone; None leaves it random.
        image_size: Size of the images in pixels, after cropping.
        latent: Dimension of the autoencoder's code.

    Raises:
        ValueError: The weights are unknown, the tensors are not this backbone's, or the image size
            is too small.
    """
    backbone = Backbone.of(weights, state, (_LAYER,))
    return FRE(backbone, image_size=image_size, latent=latent)
