"""FRE: A Fast Method For Anomaly Detection And Segmentation (Ndiour et al., 2022).

A linear autoencoder learns the subspace that normal features lie in; what it cannot reconstruct of
an image's features, the feature reconstruction error, is the anomaly.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.components.backbone import STRIDES, Backbone
from models.components.base import AnomalyModel, Batch, Prediction

_LAYER = 3
_POOL = 2
"""Window and stride of the average pooling before the autoencoder."""


class TiedAutoencoder(nn.Module):
    """Linear encoder whose transposed weight decodes.

    Both sides have a bias: features follow a ReLU and are far from zero mean, and the decoder's
    bias is where their mean can go, as the centering before a PCA. The paper's text names neither.

    Args:
        dimension: Of what is reconstructed.
        latent: Of the code.
    """

    def __init__(self, dimension: int, latent: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(latent, dimension))
        self.encoder_bias = nn.Parameter(torch.zeros(latent))
        self.decoder_bias = nn.Parameter(torch.zeros(dimension))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, vectors: Tensor) -> Tensor:
        """Reconstruction of vectors ``(B, dimension)``."""
        code = F.linear(vectors, self.weight, self.encoder_bias)
        return F.linear(code, self.weight.T, self.decoder_bias)


class FRE(AnomalyModel):
    """Backbone and tied autoencoder.

    Args:
        backbone: Frozen features at stride 16.
        image_size: Side of the square images in pixels; the autoencoder is as large as their
            features.
        latent: Dimension of the autoencoder's code.

    Raises:
        ValueError: Images so small that pooling leaves nothing of their features.
    """

    features_only = True
    backbone: Backbone

    def __init__(self, backbone: Backbone, *, image_size: int, latent: int) -> None:
        super().__init__(backbone)
        side = -(-image_size // STRIDES[_LAYER])  # each stage of a ResNet rounds up
        if side < _POOL:
            smallest = STRIDES[_LAYER] * (_POOL - 1) + 1
            raise ValueError(
                f"FRE pools layer {_LAYER}'s features {_POOL}-fold: wanted images of {smallest} "
                f"pixels or more, found {image_size}. Choose a larger image size."
            )
        self._image_size = image_size
        self._wanted = (backbone.channels[0], side, side)
        dimension = backbone.channels[0] * (side // _POOL) ** 2
        self.autoencoder = TiedAutoencoder(dimension, latent)

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean squared reconstruction error of pooled features."""
        # Float32 whatever autocast says: a residual is a difference of nearly equal numbers.
        features = batch.get_features()
        with torch.autocast(features[0].device.type, enabled=False):
            return self._squared_errors(features).mean()

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Return the squared error summed over channels and enlarged; its sum is the score.

        Maps are bilinear and unblurred, as in the authors' code.
        """
        errors = self._squared_errors(batch.get_features()).sum(dim=1)
        maps = F.interpolate(errors[:, None], batch.size, mode="bilinear", align_corners=False)[
            :, 0
        ]
        return {"score": Prediction(scores=errors.sum(dim=(1, 2)), maps=maps)}

    def _squared_errors(self, features: list[Tensor]) -> Tensor:
        """``(B, C, h / 2, w / 2)`` squared reconstruction errors of features ``(B, C, h, w)``."""
        (layer,) = features
        if layer.shape[1:] != self._wanted:
            raise ValueError(
                f"This FRE was built for images of {self._image_size} pixels: wanted features of "
                f"shape {self._wanted}, found {tuple(layer.shape[1:])}. Build it with the image "
                "size that is used, which is the crop's where images are cropped."
            )
        pooled = F.avg_pool2d(layer.float(), _POOL)
        vectors = pooled.flatten(1)
        return (self.autoencoder(vectors) - vectors).square().unflatten(1, pooled.shape[1:])


def build(
    *,
    weights: str | None,
    state: Mapping[str, Tensor] | None,
    image_size: int = 256,
    latent: int = 220,
) -> FRE:
    """Build an FRE model; see `models.components.base.Build`.

    Args:
        weights: Tag of the backbone's weights.
        state: The backbone's tensors; None leaves it random.
        image_size: Side of the images in pixels, of the crop where they are cropped.
        latent: Dimension of the autoencoder's code.

    Raises:
        ValueError: Unknown weights, tensors that are not this backbone's, or too small images.
    """
    backbone = Backbone.of(weights, state, (_LAYER,))
    return FRE(backbone, image_size=image_size, latent=latent)
