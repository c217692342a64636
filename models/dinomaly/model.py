"""Dinomaly (Guo et al., CVPR 2025): less is more in multi-class anomaly detection.

A frozen vision transformer's middle layers are averaged, disturbed by dropout, and reconstructed by
eight blocks of linear attention. Reconstruction is loose: two groups of four layers are compared
as groups. The anomaly map is 1 − cosine between encoder and decoder.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from types import MappingProxyType
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from models.components.base import AnomalyModel, Batch, Prediction
from models.components.transformer_backbone import TransformerBackbone
from models.dinomaly.decoder import DecoderBlock, NoisyBottleneck, initialize
from models.dinomaly.loss import easy_share, loose_loss

_LAYERS = (2, 3, 4, 5, 6, 7, 8, 9)  # the middle of the 12 blocks of ViT-S and ViT-B
_LARGE_LAYERS = (4, 6, 8, 10, 12, 14, 16, 18)  # of ViT-L's 24, every other one
_GROUP = 4

# All as in the official code. So few taps of such a wide Gaussian are nearly a 5 × 5 mean.
_MAP_SIDE = 256
_BLUR_TAPS, _BLUR_SIGMA = 5, 4.0
_TOP_SHARE = 0.01


class Dinomaly(AnomalyModel):
    """Encoder, noisy bottleneck and decoder.

    The class and register tokens pass through the decoder with the patches, and are left out of
    loss and map.

    Maps are made at 256 × 256 pixels and blurred there, as the authors evaluate them, and resized
    to the images last: at 392 pixels that second resizing has no counterpart in the original.

    Args:
        backbone: Frozen transformer with prefix tokens, tapped at eight layers.
        dropout: Dropout rate of the bottleneck; 0.2 except for Real-IAD, whose variety needs 0.4.
        recentered: Reconstruct the encoder's patches minus its class token, normalized to mean 0
            and variance 1 over channels, as Dinomaly2 does (Guo et al., 2025).
    """

    features_only = True
    backbone: TransformerBackbone

    def __init__(
        self, backbone: TransformerBackbone, *, dropout: float, recentered: bool = False
    ) -> None:
        super().__init__(backbone)
        width = backbone.channels[0]
        heads = backbone.backbone.blocks[0].attn.num_heads
        self.recentered = recentered
        self.bottleneck = NoisyBottleneck(width, dropout)
        self.decoder = nn.ModuleList(DecoderBlock(width, heads) for _ in backbone.layers)
        for part in (self.bottleneck, self.decoder):
            initialize(part)
        taps = torch.arange(_BLUR_TAPS) - _BLUR_TAPS // 2
        kernel = torch.exp(-0.5 * (taps / _BLUR_SIGMA) ** 2)
        self.kernel: Tensor
        self.register_buffer("kernel", kernel / kernel.sum(), persistent=False)

    def loss(self, batch: Batch) -> Tensor:
        """Return the scalar loose loss of normal images; hard mining depends on the step."""
        return loose_loss(*self.reconstruct(batch.get_features()), easy_share(batch.step))

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Return anomaly maps, and the mean of each map's highest 1 % as the image's score."""
        distances = [
            1 - F.cosine_similarity(target, output, dim=-1)
            for target, output in zip(*self.reconstruct(batch.get_features()), strict=True)
        ]
        rows, columns = self.backbone.grid(batch.size)
        points = rearrange(
            torch.stack(distances).mean(dim=0), "b (h w) -> b 1 h w", h=rows, w=columns
        )
        maps = F.interpolate(points, batch.size, mode="bilinear", align_corners=True)
        maps = self._blurred(_resized(maps, (_MAP_SIDE, _MAP_SIDE)))
        top = maps.flatten(1).topk(int(_TOP_SHARE * _MAP_SIDE**2), sorted=False).values
        return {"score": Prediction(top.mean(dim=1), _resized(maps, batch.size)[:, 0])}

    def reconstruct(self, features: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the encoder's patch tokens and their reconstructions, by group of layers.

        Args:
            features: ``(B, C, N, 1)`` for each of eight layers, prefix tokens included.

        Returns:
            ``(B, h·w, C)`` for the shallow and for the deep group, twice.
        """
        layers = [rearrange(layer, "b c n 1 -> b n c") for layer in features]
        encoded = _grouped(layers)
        tokens = self.bottleneck(torch.stack(encoded).mean(dim=0))
        decoded = []
        for block in self.decoder:
            tokens = block(tokens)
            decoded.append(tokens)
        # The last block reconstructs the shallowest layer.
        outputs = [group[:, self.backbone.prefix_tokens :] for group in _grouped(decoded[::-1])]
        return [self._targets(group) for group in encoded], outputs

    def _targets(self, encoded: Tensor) -> Tensor:
        patches = encoded[:, self.backbone.prefix_tokens :]
        if not self.recentered:
            return patches
        return F.layer_norm(patches - encoded[:, :1], patches.shape[-1:], eps=1e-8)

    def _blurred(self, maps: Tensor) -> Tensor:
        """Blur ``(B, 1, H, W)`` with 5 × 5 taps; outside, maps are 0 as in the official code."""
        half = _BLUR_TAPS // 2
        blurred = F.conv2d(maps, self.kernel.view(1, 1, -1, 1), padding=(half, 0))
        return F.conv2d(blurred, self.kernel.view(1, 1, 1, -1), padding=(0, half))


def _grouped(layers: Sequence[Tensor]) -> list[Tensor]:
    """Return the means of four consecutive layers each."""
    groups = (layers[first : first + _GROUP] for first in range(0, len(layers), _GROUP))
    return [reduce(torch.add, group) / len(group) for group in groups]


def _resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(maps, tuple(size), mode="bilinear", align_corners=False)


def build(
    *,
    weights: str | None,
    state: Mapping[str, Tensor] | None,
    dropout: float = 0.2,
    recentered: bool = False,
    encoder_options: Mapping[str, Any] = MappingProxyType({}),
) -> Dinomaly:
    """Build a Dinomaly model; see `models.components.base.Build`.

    Args:
        weights: Tag of the encoder's weights, a plain vision transformer's.
        state: The encoder's tensors; None leaves it random.
        dropout: Dropout rate of the bottleneck.
        recentered: Reconstruct recentered features, as Dinomaly2 does.
        encoder_options: Arguments of `timm.create_model`, such as a smaller ``embed_dim``.

    Raises:
        ValueError: The weights are unknown, or the tensors are not theirs.
    """
    layers = _LARGE_LAYERS if "large" in (weights or "") else _LAYERS
    backbone = TransformerBackbone.of(weights, state, layers, with_prefix=True, **encoder_options)
    return Dinomaly(backbone, dropout=dropout, recentered=recentered)
