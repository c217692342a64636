"""DSR's VQ-VAE of two resolutions (Zavrtanik et al., ECCV 2022, section 3.1).

An image is encoded at a quarter and at an eighth of its side; each position is one of 4,096 codes.
The decoder knows images in general, from pretraining on ImageNet, and so keeps a defect.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.catalog import WeightsEntry
from models.components.checkpoints import misfits
from models.components.loading import load_copies, undrawn
from models.components.weights_file import without_prefix

WIDTH = 128
"""Channels of the encoders and of a code."""

CODES = 4096
"""Number of codes of each resolution."""

STRIDE_HI, STRIDE_LO = 4, 8
"""Pixels of an image per position, in each direction."""

_RESIDUAL_WIDTH = 64
_ROWS = 8192  # positions compared with all codes at a time: 128 MiB of distances

# Names in the official file, by the names here; the top level is the low resolution.
_OFFICIAL = {
    "encoder_hi": "_encoder_b",
    "encoder_lo": "_encoder_t",
    "to_codes_hi": "_pre_vq_conv_bot",
    "to_codes_lo": "_pre_vq_conv_top",
    "codes_hi.vectors": "_vq_vae_bot._embedding.weight",
    "codes_lo.vectors": "_vq_vae_top._embedding.weight",
    "upsample": "upsample_t",
    "decoder": "_decoder_b",
}
_TRAINING_ONLY = ("_ema_w", "_ema_cluster_size")
"""Running sums of the codes' training in the official file."""


_COLOR_DIMS = {"encoder_hi.0.weight": 1, "decoder.4.weight": 1, "decoder.4.bias": 0}
"""Dimension of the image's channels in the tensors that have one."""


class Codebook(nn.Module):
    """Codes that features are replaced with.

    Args:
        codes: Number of codes.
        width: Dimension of a code.
    """

    def __init__(self, codes: int, width: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(codes, width))

    def nearest(self, rows: Tensor) -> Tensor:
        """Return the index ``(N,)`` of the nearest code of each row ``(N, D)``."""
        norms = self.vectors.square().sum(dim=1)
        return torch.cat(
            [
                # |x − c|² minus |x|², which is the same for all codes.
                torch.addmm(norms, part, self.vectors.T, alpha=-2).argmin(dim=1)
                for part in torch.split(rows, _ROWS)
            ]
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return the nearest codes ``(B, D, h, w)``; gradients pass straight to the features."""
        return self.quantize(features)[0]

    def quantize(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest codes ``(B, D, h, w)`` and their indices ``(B h w,)``."""
        with torch.no_grad(), torch.autocast(features.device.type, enabled=False):
            rows = features.detach().float().movedim(1, -1)
            index = self.nearest(rows.flatten(0, -2))
            quantized = self.vectors[index].view(rows.shape).movedim(-1, 1)
        return features.float() + (quantized - features.detach().float()), index


class Residual(nn.Module):
    """Two residual blocks of a 3 × 3 and a 1 × 1 convolution, and ReLU.

    ReLU is applied in place in the official code, so that a block adds to the rectified input.

    Args:
        width: Number of channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = min(_RESIDUAL_WIDTH, width)
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                (
                    nn.Conv2d(width, hidden, 3, padding=1, bias=False),
                    nn.Conv2d(hidden, width, 1, bias=False),
                )
            )
            for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape, ``(B, C, h, w)``."""
        for block in self.blocks:
            assert isinstance(block, nn.ModuleList)
            wide, narrow = block
            x = F.relu(x)
            x = x + narrow(F.relu(wide(x)))
        return F.relu(x)


class VQVAE(nn.Module):
    """Two encoders, two codebooks and a decoder of general images.

    Args:
        width: Channels of the encoders and of a code, 128 in the paper.
        codes: Number of codes of each resolution, 4,096 in the paper.
    """

    def __init__(self, width: int = WIDTH, codes: int = CODES) -> None:
        super().__init__()
        self.encoder_hi = nn.Sequential(
            *(nn.Conv2d(3, width // 2, 4, 2, 1), nn.ReLU()),
            *(nn.Conv2d(width // 2, width, 4, 2, 1), nn.ReLU()),
            nn.Conv2d(width, width, 3, padding=1),
            Residual(width),
        )
        self.encoder_lo = nn.Sequential(
            *(nn.Conv2d(width, width, 4, 2, 1), nn.ReLU()),
            *(nn.Conv2d(width, width, 3, padding=1), nn.ReLU()),
            Residual(width),
        )
        self.to_codes_lo = nn.Conv2d(width, width, 1)
        self.to_codes_hi = nn.Conv2d(2 * width, width, 1)
        self.codes_lo, self.codes_hi = Codebook(codes, width), Codebook(codes, width)
        self.upsample = nn.ConvTranspose2d(width, width, 4, 2, 1)
        self.decoder = image_decoder(2 * width, width)

    def features_lo(self, encoded: Tensor) -> Tensor:
        """Return features ``(B, D, H / 8, W / 8)`` of the output of `encoder_hi`."""
        features: Tensor = self.to_codes_lo(self.encoder_lo(encoded))
        return features

    def features_hi(self, encoded: Tensor, quantized_lo: Tensor) -> Tensor:
        """Return features ``(B, D, H / 4, W / 4)``, which depend on the low resolution's codes."""
        joined = torch.cat((encoded, self.upsample(quantized_lo)), dim=1)
        features: Tensor = self.to_codes_hi(joined)
        return features

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the codes of images ``(B, 3, H, W)`` in [0, 1], of low and high resolution."""
        encoded = self.encoder_hi(images)
        quantized_lo = self.codes_lo(self.features_lo(encoded))
        return quantized_lo, self.codes_hi(self.features_hi(encoded, quantized_lo))

    def join(self, quantized_lo: Tensor, quantized_hi: Tensor) -> Tensor:
        """Return both resolutions' codes at the high one, ``(B, 2 D, h, w)``, as decoders take."""
        return torch.cat((self.upsample(quantized_lo), quantized_hi), dim=1)

    def decode(self, quantized_lo: Tensor, quantized_hi: Tensor) -> Tensor:
        """Return images ``(B, 3, H, W)`` of codes."""
        images: Tensor = self.decoder(self.join(quantized_lo, quantized_hi))
        return images


def image_decoder(inputs: int, width: int) -> nn.Sequential:
    """Return convolutions from features of a quarter of the side to an image."""
    return nn.Sequential(
        nn.Conv2d(inputs, width, 3, padding=1),
        Residual(width),
        *(nn.ConvTranspose2d(width, width // 2, 4, 2, 1), nn.ReLU()),
        nn.ConvTranspose2d(width // 2, 3, 4, 2, 1),
    )


def frozen_vqvae(
    weights: WeightsEntry, state: Mapping[str, Tensor] | None, width: int, codes: int
) -> VQVAE:
    """Build a frozen VQ-VAE.

    Args:
        weights: Entry of the tensors, named in error messages.
        state: Tensors named as here and by ``bench pretrain``, or as in the official file, whose
            code reads images in the order blue, green, red: those that see or make channels are
            reversed. None leaves it random.
        width: Channels of the encoders and of a code.
        codes: Number of codes of each resolution.

    Raises:
        ValueError: The tensors are not those of such a network.
    """
    with undrawn(state):
        network = VQVAE(width, codes)
    if state is None:
        network.apply(_initialize)
    else:
        wanted = network.state_dict()
        state = without_prefix(state, lambda s: len(wanted.keys() & _renamed(network, s).keys()))
        found = _renamed(network, state)
        if complaints := misfits(wanted, found):
            raise ValueError(
                f"These are not {weights.tag}'s weights: wanted the {len(wanted)} tensors of DSR's "
                f"VQ-VAE with {codes} codes of {width} numbers, named as by `bench pretrain` or in "
                f"the official file, found {len(state)} tensors: {'; '.join(complaints)}. Get the "
                f"file again from {weights.url}, or make one: {weights.made_by}."
            )
        load_copies(network, found)
    return network.requires_grad_(False).eval()


def official_names(network: VQVAE) -> dict[str, str]:
    """Return the name that each tensor has in the official file."""
    counted = {"encoder_hi": (0, 2, 4), "encoder_lo": (0, 2), "decoder": (0, 2, 4)}
    layers = {
        "encoder_hi": ("_conv_1", "_conv_2", "_conv_3"),
        "encoder_lo": ("_conv_1", "_conv_2"),
        "decoder": ("_conv_1", "_conv_trans_1", "_conv_trans_2"),
    }
    names: dict[str, str] = {}
    for name in network.state_dict():
        part, _, rest = name.partition(".")
        if part not in layers:
            prefix = name if name in _OFFICIAL else part
            names[name] = name.replace(prefix, _OFFICIAL[prefix], 1)
            continue
        place, _, rest = rest.partition(".")
        if int(place) in counted[part]:
            layer = layers[part][counted[part].index(int(place))]
            names[name] = f"{_OFFICIAL[part]}.{layer}.{rest}"
        else:  # blocks.BLOCK.LAYER.weight, whose layers alternate with ReLU
            _, block, layer, kind = rest.split(".")
            stack = f"{_OFFICIAL[part]}._residual_stack._layers.{block}._block"
            names[name] = f"{stack}.{2 * int(layer) + 1}.{kind}"
    return names


def _initialize(module: nn.Module) -> None:
    """Draw weights by He's rule, without biases, for the codes of a frozen random network.

    PyTorch's default gain is so low that biases outweigh the image: all positions get one code.
    """
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.kaiming_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _renamed(network: VQVAE, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    ours = {official: name for name, official in official_names(network).items()}
    return {
        ours.get(name, name): _for_red_first(ours[name], tensor) if name in ours else tensor
        for name, tensor in state.items()
        if not name.endswith(_TRAINING_ONLY)
    }


def _for_red_first(name: str, tensor: Tensor) -> Tensor:
    """Return a tensor of the official file for images whose first channel is red."""
    dim = _COLOR_DIMS.get(name)
    return tensor if dim is None or tensor.ndim <= dim else tensor.flip(dim)
