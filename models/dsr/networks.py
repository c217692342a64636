"""Networks that DSR trains for each kind of object, over codes and images of its VQ-VAE."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from models.components.unet import UNet, double_conv, up_conv
from models.dsr.vqvae import image_decoder

_NORM = nn.InstanceNorm2d
_SEGMENTATION_DOWN, _SEGMENTATION_UP = (64, 128, 256, 256), (256, 128, 64)


class SubspaceRestriction(nn.Module):
    """Encoder and decoder that turn codes with defects into features of normal images.

    Args:
        width: Dimension of a code.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = (width, 2 * width, 4 * width)
        self.encoder = nn.ModuleList(
            double_conv(before, after, after, _NORM) for before, after in pairwise((width, *widths))
        )
        self.decoder = nn.Sequential(
            *(_up_block(before, after) for before, after in pairwise(reversed(widths))),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, codes: Tensor) -> Tensor:
        """Return features ``(B, D, h, w)``, not quantized, of codes of the same shape."""
        x = codes
        for number, block in enumerate(self.encoder):
            x = block(x if number == 0 else F.max_pool2d(x, 2))
        features: Tensor = self.decoder(x)
        return features


def _up_block(before: int, after: int) -> nn.Sequential:
    convolutions = double_conv(after, after, after, _NORM)
    return nn.Sequential(up_conv(before, after, _NORM), convolutions)


def object_decoder(width: int) -> nn.Sequential:
    """Return the decoder of one kind of object, from both resolutions' codes to an image.

    Features pass through a sixteenth of the image's side, so that the decoder sees more of an
    object than the general one does.

    Args:
        width: Dimension of a code.
    """
    inputs, narrow = 2 * width, width // 2
    return nn.Sequential(
        double_conv(inputs, inputs, 2 * inputs, _NORM),
        nn.MaxPool2d(2),
        double_conv(2 * inputs, 2 * inputs, 4 * inputs, _NORM),
        nn.MaxPool2d(2),
        nn.Conv2d(4 * inputs, narrow, 1),
        *(nn.ConvTranspose2d(narrow, narrow, 4, 2, 1), nn.ReLU()),
        *(nn.ConvTranspose2d(narrow, narrow, 4, 2, 1), nn.ReLU()),
        *image_decoder(narrow, width),
    )


def segmentation_network(inputs: int, width: int) -> UNet:
    """Return a U-Net from images with a number of channels to logits of normal and defective.

    Args:
        inputs: Channels of the input.
        width: Dimension of a code, to which the channels are proportional.
    """

    def scaled(widths: Sequence[int]) -> list[int]:
        return [width * channels // 128 for channels in widths]

    return UNet(inputs, 2, scaled(_SEGMENTATION_DOWN), scaled(_SEGMENTATION_UP), _NORM)


def initialize(module: nn.Module) -> None:
    """Draw a convolution's weights from N(0, 0.02), as the official code does."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
