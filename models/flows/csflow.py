"""CS-Flow: Fully Convolutional Cross-Scale-Flows for Defect Detection (Rudolph et al., WACV 2022).

One flow maps the features of an image at three scales jointly to standard normal noise; the
networks of its couplings exchange information between scales. Written from the paper alone.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from einops import rearrange
from FrEIA.framework import SequenceINN
from FrEIA.modules import GLOWCouplingBlock, PermuteRandom
from torch import Tensor, nn
from torch.nn import functional as F

from models.catalog import WEIGHTS
from models.components.anomaly_map import resize_maps
from models.components.backbone import Backbone
from models.components.base import AnomalyModel, Batch, Prediction
from models.components.image_pyramid import ImagePyramid
from models.components.image_size import ImageSize, height_width
from models.components.upsampling import upsample
from models.flows.blocks import (
    Shape,
    check_shapes,
    negative_log_likelihood,
    set_channel_order,
)

LAYER = 6
"""EfficientNet's sixth stage: 304 channels at stride 32 in B5, the output of its 36th block."""

SCALES = (1.0, 0.5, 0.25)
"""Sides of the three images relative to the first, 768 pixels in the paper."""

_KERNELS = (3, 3, 3, 5)
"""Sides of all kernels, by coupling block."""

_CLAMP = 3.0  # the paper's α: a coupling scales by at most e³
_SLOPE = 0.1  # of leaky ReLUs below 0


class CSFlow(AnomalyModel):
    """Backbone at three scales and the cross-scale flow.

    Args:
        backbone: Frozen features, the finest scale first, with equal numbers of channels.
        image_size: Size of the images in pixels.
        hidden: Hidden channels of the couplings' networks, at each scale.
    """

    features_only = True
    backbone: ImagePyramid

    def __init__(self, backbone: ImagePyramid, *, image_size: ImageSize, hidden: int) -> None:
        super().__init__(backbone)
        self._shapes = backbone.shapes(height_width(image_size))
        self.flow = cross_scale_flow(self._shapes, hidden)

    def loss(self, batch: Batch) -> Tensor:
        """Return the negative log-likelihood per dimension, mean over the batch.

        Per dimension, since the recipe's Adam has an epsilon that is not small.
        """
        latents, log_determinant = self.transform(batch.get_features())
        dimensions = sum(math.prod(shape) for shape in self._shapes)
        return negative_log_likelihood(latents, log_determinant).mean() / dimensions

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Return the mean of z²/2 over all scales as score, and the map of the finest scale.

        The map is the mean of z²/2 over channels, upsampled bilinearly; coarse scales would blur
        it.
        """
        latents, _ = self.transform(batch.get_features())
        everything = torch.cat([z.flatten(1) for z in latents], dim=1)
        maps = resize_maps(0.5 * latents[0].square().mean(dim=1), batch.size)
        return {"score": Prediction(scores=0.5 * everything.square().mean(dim=1), maps=maps)}

    def transform(self, features: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Return latents ``(B, C, h, w)`` by scale, and log |det J| ``(B,)``.

        Raises:
            ImageSizeError: The features are of images of another size.
        """
        check_shapes(features, self._shapes)
        # Float32 even under autocast: a likelihood sums a million squares.
        with torch.autocast(features[0].device.type, enabled=False):
            latents, log_determinant = self.flow(join(features))
        return split(latents, self._shapes), log_determinant


def cross_scale_flow(shapes: Sequence[Shape], hidden: int) -> SequenceINN:
    """Return a flow over ``(B, C, positions of all scales)``, the scales one after the other.

    In this arrangement FrEIA's couplings and permutations of channels serve all scales at once, and
    the networks of the couplings take it apart again.

    Args:
        shapes: ``(C, h, w)`` by scale, the finest first.
        hidden: Hidden channels at each scale.
    """
    positions = sum(height * width for _, height, width in shapes)
    flow = SequenceINN(shapes[0][0], positions)
    for kernel in _KERNELS:
        flow.append(PermuteRandom)
        set_channel_order(flow[-1], torch.randperm(shapes[0][0]))

        def subnet(inputs: int, outputs: int, kernel: int = kernel) -> nn.Module:
            return CrossScaleNetwork(inputs, outputs, shapes, hidden=hidden, kernel=kernel)

        flow.append(
            GLOWCouplingBlock,
            subnet_constructor=subnet,
            clamp=_CLAMP,
            clamp_activation=_soft_clamp,
        )
    return flow


def _soft_clamp(values: Tensor) -> Tensor:
    """Return ``2/π arctan(h/α)``, which FrEIA multiplies by α: the paper's soft clamp."""
    return (2 / math.pi) * torch.atan(values / _CLAMP)


class CrossScaleNetwork(nn.Module):
    """Convolutions at each scale, whose second layer also takes the scales next to its own.

    Finer hidden maps come through a strided convolution, coarser ones through bilinear upsampling
    and a convolution. All are summed and multiplied by a learned scalar, γ of the paper's equation
    3, which starts at 0: every coupling begins as the identity. The result is clamped after it.

    Args:
        inputs: Number of input channels.
        outputs: Number of output channels.
        shapes: ``(C, h, w)`` by scale; only the sides matter.
        hidden: Hidden channels at each scale.
        kernel: Side of all kernels.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        shapes: Sequence[Shape],
        *,
        hidden: int,
        kernel: int,
    ) -> None:
        super().__init__()
        self._sides = [shape[1:] for shape in shapes]

        def convolutions(before: int, after: int, count: int, stride: int = 1) -> nn.ModuleList:
            return nn.ModuleList(
                nn.Conv2d(before, after, kernel, stride, kernel // 2) for _ in range(count)
            )

        scales = len(shapes)
        self.first = convolutions(inputs, hidden, scales)
        self.same = convolutions(hidden, outputs, scales)
        self.down = convolutions(hidden, outputs, scales - 1, stride=2)
        self.up = convolutions(hidden, outputs, scales - 1)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, joined: Tensor) -> Tensor:
        """Return ``(B, outputs, positions)`` of ``(B, inputs, positions)``."""
        maps = split(joined, [(0, *sides) for sides in self._sides])
        hidden = [
            F.leaky_relu(convolution(each), _SLOPE)
            for convolution, each in zip(self.first, maps, strict=True)
        ]
        results = [convolution(each) for convolution, each in zip(self.same, hidden, strict=True)]
        for coarse in range(1, len(hidden)):
            fine = coarse - 1
            results[coarse] = results[coarse] + self.down[fine](hidden[fine])
            results[fine] = results[fine] + self.up[fine](
                upsample(hidden[coarse], self._sides[fine])
            )
        return self.gamma * join(results)


def join(maps: Sequence[Tensor]) -> Tensor:
    """Join maps ``(B, C, h, w)`` of several scales to ``(B, C, positions)``."""
    return torch.cat([each.flatten(2) for each in maps], dim=2)


def split(joined: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
    """Undo `join`, given shapes ``(C, h, w)`` by scale."""
    parts = joined.split([height * width for _, height, width in shapes], dim=2)
    return [
        rearrange(part, "b c (h w) -> b c h w", h=height)
        for part, (_, height, _) in zip(parts, shapes, strict=True)
    ]


def build(
    *,
    weights: str | None,
    state: Mapping[str, Tensor] | None,
    image_size: ImageSize = 256,
    hidden: int = 1024,
) -> CSFlow:
    """Build a CS-Flow model; see `models.components.base.Build`.

    Args:
        weights: Tag of the weights of an EfficientNet.
        state: Tensors of the backbone; None leaves it random.
        image_size: Size of the images in pixels, after cropping.
        hidden: Hidden channels of the couplings' networks, at each scale.

    Raises:
        ValueError: The weights are unknown, or the tensors are not this backbone's.
    """
    backbone = Backbone.of(weights, state, (LAYER,))
    pyramid = ImagePyramid(WEIGHTS[weights or ""], [(backbone, scale) for scale in SCALES])
    return CSFlow(pyramid, image_size=image_size, hidden=hidden)
