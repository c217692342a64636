"""GANomaly (Akcay, Atapour-Abarghouei and Breckon, ACCV 2018).

An encoder, a decoder and a second encoder learn to reconstruct normal images and their latent
vectors, against a discriminator. For an anomalous image, the second latent vector differs from
the first. There is no map.

Unlike the official code, the model is in evaluation mode when it predicts, so that a score does not
depend on its batch; scores are raw, not scaled to the test set's range; and the discriminator is
not drawn anew when its loss nears 0, which would need to read the loss on every step.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from models.components.base import AnomalyModel, Batch, Prediction
from models.components.errors import ImageSizeError
from models.components.image_size import ImageSize, height_width, size_text
from models.components.memory_format import convolution_format

ADVERSARIAL, CONTEXT, ENCODER = 1.0, 50.0, 1.0
"""Weights of the generator's losses (section 3.2)."""

_MIN_SIZE = 16
_FINAL = (
    4  # shorter side of the last feature map, which one convolution turns into the latent vector
)
_INIT_STD = 0.02


class Generator(nn.Module):
    """Encoder, decoder and second encoder.

    Args:
        size: Height and width of the images, see `build`.
        latent: Dimension of the latent vectors.
        width: Channels after the first convolution.
    """

    def __init__(self, size: tuple[int, int], latent: int, width: int) -> None:
        super().__init__()
        self.encoder = _encoder(size, latent, width)
        self.decoder = _decoder(size, latent, width)
        self.second_encoder = _encoder(size, latent, width)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return reconstructions ``(B, 3, H, W)`` and both latent vectors ``(B, D, 1, 1)``.

        Args:
            images: ``(B, 3, H, W)`` in [−1, 1].
        """
        latent = self.encoder(images)
        rebuilt = self.decoder(latent)
        return rebuilt, latent, self.second_encoder(rebuilt)


class GANomaly(AnomalyModel):
    """Generator and discriminator; one optimizer updates both at once, each by its own loss.

    Args:
        image_size: Size of the images in pixels, see `build`.
        latent: Dimension of the latent vectors.
        width: Channels after the first convolution of each network.
    """

    def __init__(self, *, image_size: ImageSize, latent: int, width: int) -> None:
        super().__init__()
        self._size = height_width(image_size)
        self.generator = Generator(self._size, latent, width)
        *features, classifier = _encoder(self._size, 1, width)
        self.discriminator = nn.Sequential(*features)
        self.classifier = classifier
        self.apply(_initialize)

    def loss(self, batch: Batch) -> Tensor:
        """Return the generator's loss plus the discriminator's, whose gradients do not mix.

        The generator sees the discriminator's parameters detached, and the discriminator the
        reconstruction: a step of the sum is the official code's two steps, whose losses are both
        computed before either step.
        """
        images = self._scaled(batch.get_images())
        rebuilt, latent, second_latent = self.generator(images)
        real = self.discriminator(images)
        # Functional: the generator's gradient passes through the discriminator without filling it.
        frozen = {name: p.detach() for name, p in self.discriminator.named_parameters()}
        generated = functional_call(self.discriminator, frozen, (rebuilt,))
        generator_loss = (
            ADVERSARIAL * F.mse_loss(generated.float(), real.detach().float())
            + CONTEXT * F.l1_loss(rebuilt.float(), images)
            + ENCODER * F.mse_loss(second_latent.float(), latent.float())
        )
        return generator_loss + self._discriminator_loss(real, rebuilt.detach())

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Return the distances between both latent vectors, without maps."""
        _, latent, second_latent = self.generator(self._scaled(batch.get_images()))
        distances = torch.linalg.vector_norm((latent - second_latent).flatten(1), dim=1)
        return {"score": Prediction(scores=distances, maps=None)}

    def _discriminator_loss(self, real: Tensor, rebuilt: Tensor) -> Tensor:
        """Return the mean of the cross-entropies of real features and of reconstructed images."""
        logits = self.classifier(real).float()
        rebuilt_logits = self.classifier(self.discriminator(rebuilt)).float()
        return 0.5 * (F.softplus(-logits).mean() + F.softplus(rebuilt_logits).mean())

    def _scaled(self, images: Tensor) -> Tensor:
        """Return images in [−1, 1], the range of the decoder's tanh."""
        if images.shape[-2:] != self._size:
            raise ImageSizeError(
                f"This GANomaly was built for images of {size_text(self._size)} pixels, found "
                f"{size_text(images.shape[-2:])}. Build it with the image size in use, "
                "the crop's if images are cropped."
            )
        return (2 * images.float() - 1).contiguous(memory_format=convolution_format())


def build(
    *,
    weights: str | None,
    state: Mapping[str, Tensor] | None,
    latent: int = 100,
    width: int = 64,
    image_size: ImageSize = 256,
) -> GANomaly:
    """Build a GANomaly; see `models.components.base.Build`.

    Args:
        weights: None, since the model has no pretrained part.
        state: None.
        latent: Dimension of the latent vectors.
        width: Channels after the first convolution of each network.
        image_size: Size of the images in pixels, after cropping: the shorter side a power of two,
            the longer a multiple of the number that halves the shorter one down to 4.

    Raises:
        ValueError: Weights are given, or the image size cannot be halved down to 4 pixels.
    """
    if weights is not None or state is not None:
        raise ValueError(
            f"GANomaly has no pretrained part: wanted no weights, found '{weights}'. Leave them "
            "out."
        )
    sides = height_width(image_size)
    short, step = min(sides), max(1, min(sides) // _FINAL)
    if short < _MIN_SIZE or short & (short - 1) or any(side % step for side in sides):
        raise ImageSizeError(
            f"GANomaly halves an image down to {_FINAL} pixels: wanted a power of two, at "
            f"least {_MIN_SIZE}, as the shorter side, and a longer side that can be halved as "
            f"often, found {size_text(image_size)}. Choose, for example, 256 or 256x640."
        )
    model = GANomaly(image_size=image_size, latent=latent, width=width)
    return model.to(memory_format=convolution_format())


def _widths(size: tuple[int, int], width: int) -> list[int]:
    """Return the channels at sides of half the image's down to 4, doubled on every halving."""
    return [width << halving for halving in range((min(size) // _FINAL).bit_length() - 1)]


def _final(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size of the last feature map, whose shorter side is 4."""
    height, width = (side * _FINAL // min(size) for side in size)
    return height, width


def _encoder(size: tuple[int, int], outputs: int, width: int) -> nn.Sequential:
    """Return halving convolutions and a last one from the remaining positions to one vector."""
    first, *rest = _widths(size, width)
    layers: list[nn.Module] = [nn.Conv2d(3, first, 4, 2, 1, bias=False), _leaky()]
    for after in rest:
        halving = nn.Conv2d(after // 2, after, 4, 2, 1, bias=False)
        layers += [halving, nn.BatchNorm2d(after), _leaky()]
    last = rest[-1] if rest else first
    return nn.Sequential(*layers, nn.Conv2d(last, outputs, _final(size), bias=False))


def _decoder(size: tuple[int, int], latent: int, width: int) -> nn.Sequential:
    """Return the mirror image of the encoder, up to pixels in [−1, 1]."""
    widths = _widths(size, width)[::-1]
    convolution = nn.ConvTranspose2d(latent, widths[0], _final(size), bias=False)
    layers: list[nn.Module] = [convolution, nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)]
    for after in widths[1:]:
        doubling = nn.ConvTranspose2d(2 * after, after, 4, 2, 1, bias=False)
        layers += [doubling, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    pixels = nn.ConvTranspose2d(widths[-1], 3, 4, 2, 1, bias=False)
    return nn.Sequential(*layers, pixels, nn.Tanh())


def _leaky() -> nn.Module:
    return nn.LeakyReLU(0.2, inplace=True)


def _initialize(module: nn.Module) -> None:
    """Draw weights as DCGAN does: N(0, 0.02), for normalizations N(1, 0.02)."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, _INIT_STD)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, _INIT_STD)
