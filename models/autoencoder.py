"""A convolutional autoencoder: its reconstruction error is the anomaly map.

The original study's own proposal. An image is encoded as one vector and decoded from it. Trained
on normal images alone, the model reconstructs a defective region without the defect.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.components.anomaly_map import of_maps, upsample_and_blur
from models.components.base import AnomalyModel, Batch, Prediction
from models.components.errors import ImageSizeError
from models.components.image_size import ImageSize, height_width, size_text
from models.components.ssim import structural_similarity

_CHANNELS = (32, 64, 128, 256, 256)
"""Channels of the encoder's stages, which halve the sides; the decoder mirrors them."""

_STRIDE = 2 ** len(_CHANNELS)
_MIN_SIZE = 2 * _STRIDE  # below, BatchNorm gets one value per channel from a batch of one image


def mse(images: Tensor, decoded: Tensor) -> Tensor:
    """Return the mean squared error over pixels, channels and batch."""
    return F.mse_loss(decoded, images)


def mse_ssim(images: Tensor, decoded: Tensor) -> Tensor:
    """Return the mean squared error plus 1 − structural similarity, which compares texture."""
    return mse(images, decoded) + (1 - structural_similarity(images, decoded)).mean()


LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"mse": mse, "mse_ssim": mse_ssim}


class Autoencoder(AnomalyModel):
    """Encoder to one vector and decoder back to the image, for images that are not normalized.

    Args:
        image_size: Size of the images in pixels, multiples of 32.
        latent: Dimension of the code.
        loss: Name in `LOSSES`.
    """

    def __init__(self, *, image_size: ImageSize, latent: int, loss: str) -> None:
        super().__init__()
        self._size = height, width = height_width(image_size)
        self._loss = LOSSES[loss]
        self.encoder = _encoder((height // _STRIDE, width // _STRIDE), latent)
        self.decoder = _decoder((height // _STRIDE, width // _STRIDE), latent)

    def reconstruct(self, images: Tensor) -> Tensor:
        """Return reconstructions of images ``(B, 3, H, W)``, float32 in [0, 1].

        Raises:
            ValueError: The model was built for images of another size.
        """
        if images.shape[-2:] != self._size:
            raise ImageSizeError(
                f"This autoencoder was built for images of {size_text(self._size)} pixels, found "
                f"{size_text(images.shape[-2:])}. Build it with the image size in use, "
                "the crop's if images are cropped."
            )
        code = self.encoder(images.contiguous(memory_format=torch.channels_last))
        logits: Tensor = self.decoder(code)
        return logits.float().sigmoid()  # a bfloat16 sigmoid would have 8 bits

    def loss(self, batch: Batch) -> Tensor:
        """Return the scalar training loss of normal images."""
        images = batch.get_images()
        return self._loss(images.float(), self.reconstruct(images))

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Return maps of the blurred squared error, mean over channels, and their maxima."""
        images = batch.get_images().float()
        errors = (images - self.reconstruct(images)).square().mean(dim=1)
        return {"score": of_maps(upsample_and_blur(errors, batch.size))}


def build(
    *,
    weights: str | None,
    state: Mapping[str, Tensor] | None,
    loss: str = "mse",
    latent: int = 128,
    image_size: ImageSize = 256,
) -> Autoencoder:
    """Build an autoencoder; see `models.components.base.Build`.

    Args:
        weights: None, since the model has no pretrained part.
        state: None.
        loss: ``mse`` or ``mse_ssim``.
        latent: Dimension of the code.
        image_size: Size of the images in pixels, after cropping.

    Raises:
        ValueError: Weights are given, the loss is unknown, or the image size does not fit.
    """
    if weights is not None or state is not None:
        raise ValueError(
            f"The autoencoder has no pretrained part: wanted no weights, found '{weights}'. "
            "Leave them out."
        )
    if loss not in LOSSES:
        raise ValueError(f"Unknown loss '{loss}': choose from {', '.join(LOSSES)}.")
    if any(side % _STRIDE or side < _MIN_SIZE for side in height_width(image_size)):
        raise ImageSizeError(
            f"The autoencoder halves an image {len(_CHANNELS)} times: wanted each side to be a "
            f"multiple of {_STRIDE} pixels, at least {_MIN_SIZE}, found {size_text(image_size)}. "
            "Choose such an image size."
        )
    model = Autoencoder(image_size=image_size, latent=latent, loss=loss)
    return model.to(memory_format=torch.channels_last)


def _encoder(size: tuple[int, int], latent: int) -> nn.Sequential:
    """Return stages that halve the sides, then a convolution of what remains to a vector."""
    stages = [
        nn.Sequential(nn.Conv2d(before, after, 4, 2, 1, bias=False), *_normed(after))
        for before, after in zip((3, *_CHANNELS), _CHANNELS, strict=False)
    ]
    return nn.Sequential(*stages, nn.Conv2d(_CHANNELS[-1], latent, size))


def _decoder(size: tuple[int, int], latent: int) -> nn.Sequential:
    """Return the mirror image of the encoder, up to the logits of the pixels."""
    *hidden, last = _CHANNELS[::-1]
    first = nn.ConvTranspose2d(latent, _CHANNELS[-1], size, bias=False)
    stages = [
        nn.Sequential(nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), *_normed(after))
        for before, after in zip(hidden, [*hidden[1:], last], strict=True)
    ]
    return nn.Sequential(
        nn.Sequential(first, *_normed(_CHANNELS[-1])),
        *stages,
        nn.ConvTranspose2d(last, 3, 4, 2, 1),
    )


def _normed(channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(channels), nn.LeakyReLU(0.2, inplace=True)
