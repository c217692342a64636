"""CFLOW-AD: Anomaly Detection with Localization via Conditional Normalizing Flows.

Gudovskiy, Ishizaka and Kozuka, WACV 2022. One flow per layer of a frozen backbone estimates the
density of single feature vectors, conditioned on their position in the image.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
from einops import rearrange, repeat
from FrEIA.framework import SequenceINN
from FrEIA.modules import AllInOneBlock
from torch import Tensor, nn
from torch.nn import functional as F

from models.components.anomaly_map import of_maps, resize_maps
from models.components.backbone import Backbone
from models.components.base import AnomalyModel, Batch, Prediction
from models.flows.blocks import rotation, set_permutation

BLOCKS = 8
"""Coupling blocks per flow."""

CONDITION = 128
"""Dimension of the position encoding."""

_CLAMP = 1.9  # a coupling scales by at most e^1.9, as in the authors' code
_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


class CFlow(AnomalyModel):
    """Backbone and one conditional flow per tapped layer.

    Deviations from the authors' code, which takes one optimizer step per 256 positions and layer:
    here a step is one batch of images with all their positions in one loss. At 256 pixels a
    batch of 8 images has 8,192 positions of the finest layer, 32 of the authors' steps.

    Args:
        backbone: Frozen features.
    """

    features_only = True
    backbone: Backbone

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.flows = nn.ModuleList(conditional_flow(channels) for channels in backbone.channels)

    def loss(self, batch: Batch) -> Tensor:
        """Return −log σ(log p / C), its mean over batch and positions, summed over layers."""
        return sum(-F.logsigmoid(layer).mean() for layer in self.log_likelihoods(batch))

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Return the training loss of every position, upsampled and summed over layers.

        The paper turns log-likelihoods into probabilities by subtracting their maximum over the
        test set, so that the score of an image depends on the others. σ(log p / C), the likelihood
        that the loss maximizes, is in [0, 1] without a maximum; the sum of its logarithm over
        layers takes the place of the sum of probabilities.
        """
        maps = [
            resize_maps(-F.logsigmoid(layer), batch.size, align_corners=True)
            for layer in self.log_likelihoods(batch)
        ]
        return {"score": of_maps(torch.stack(maps).sum(dim=0))}

    def log_likelihoods(self, batch: Batch) -> list[Tensor]:
        """Return log p / C of every position, ``(B, h, w)`` per layer of C channels."""
        # Float32 even under autocast: densities are sums over hundreds of channels.
        with torch.autocast(batch.get_features()[0].device.type, enabled=False):
            return [
                _log_likelihood(flow, layer)
                for flow, layer in zip(self.flows, batch.get_features(), strict=True)
            ]


def conditional_flow(channels: int) -> SequenceINN:
    """Return a flow over vectors of some dimension, conditioned on a position encoding.

    Permutations are random rotations, as in the authors' code (FrEIA's ``permute_soft``).
    """
    flow = SequenceINN(channels)
    for block in range(BLOCKS):
        flow.append(
            AllInOneBlock,
            cond=0,
            cond_shape=(CONDITION,),
            subnet_constructor=_subnet,
            affine_clamping=_CLAMP,
        )
        set_permutation(flow[block], rotation(channels))
    return flow


def _subnet(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, 2 * inputs), nn.ReLU(), nn.Linear(2 * inputs, outputs))


def _log_likelihood(flow: SequenceINN, features: Tensor) -> Tensor:
    batch, channels, height, width = features.shape
    encoding = position_encoding(height, width, features.device)
    condition = repeat(encoding, "p c -> (b p) c", b=batch)
    latents, log_determinants = flow(rearrange(features, "b c h w -> (b h w) c"), [condition])
    per_channel = log_determinants / channels - 0.5 * latents.square().mean(dim=1) - _LOG_SQRT_2PI
    return per_channel.view(batch, height, width)


@lru_cache(maxsize=32)
def position_encoding(height: int, width: int, device: torch.device) -> Tensor:
    """Return sinusoidal position encodings ``(height * width, CONDITION)``, row by row.

    The first half of the channels encodes the column, the second the row, each by sines and cosines
    in turn of wavelengths from 2π to almost 10,000 · 2π (Vaswani et al., 2017).
    """
    # Cached: an inference tensor could not be used in training afterwards.
    with torch.inference_mode(False), torch.no_grad():
        half = CONDITION // 2
        frequencies = torch.exp(torch.arange(0, half, 2) * (-math.log(10_000) / half))
        axes = []
        for length in (width, height):
            angles = torch.arange(length)[:, None] * frequencies
            axes.append(torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1))
        columns = repeat(axes[0], "w c -> (h w) c", h=height)
        rows = repeat(axes[1], "h c -> (h w) c", w=width)
        return torch.cat([columns, rows], dim=1).to(device)


def build(
    *, weights: str | None, state: Mapping[str, Tensor] | None, layers: Sequence[int] = (2, 3, 4)
) -> CFlow:
    """Build a CFlow model; see `models.components.base.Build`.

    Args:
        weights: Tag of the backbone's weights.
        state: Tensors of the backbone; None leaves it random.
        layers: Stages of the backbone to tap.

    Raises:
        ValueError: The weights are unknown, or the tensors are not this backbone's.
    """
    return CFlow(Backbone.of(weights, state, layers))
