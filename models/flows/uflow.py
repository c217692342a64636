"""U-Flow: A U-shaped Normalizing Flow for Anomaly Detection (Tailanian et al., JMIV 2024).

A flow over features of several scales: from the coarsest scale on, half of the channels of a stage
are noise, the other half is upsampled and joins the features of the next finer scale. Written from
the paper alone.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from FrEIA.framework import GraphINN, InputNode, Node, OutputNode
from FrEIA.modules import AllInOneBlock, Concat, IRevNetUpsampling, Split
from torch import Tensor, nn

from models.catalog import WEIGHTS, WeightsEntry
from models.components.backbone import Backbone
from models.components.errors import ImageSizeError
from models.components.frozen_backbone import FrozenBackbone
from models.components.image_pyramid import ImagePyramid
from models.components.image_size import ImageSize, height_width
from models.components.transformer_backbone import TransformerBackbone
from models.flows.blocks import (
    CLAMP,
    FeatureNorms,
    Shape,
    check_shapes,
    convolutions,
    set_channel_permutation,
)
from models.flows.feature_flow import FeatureFlow

STEPS = 4
"""Blocks per stage, with 3×3 and 1×1 kernels in turn."""


class UFlow(FeatureFlow):
    """Backbone and U-shaped flow.

    Args:
        backbone: Frozen features, the finest scale first, each scale half as fine as the last.
        image_size: Size of the images in pixels.
        trainable_norm: Whether features first pass through a trainable LayerNorm over all their
            dimensions; the published numbers of parameters include it.
    """

    def __init__(
        self, backbone: FrozenBackbone, *, image_size: ImageSize, trainable_norm: bool
    ) -> None:
        super().__init__(backbone, image_size)
        self.norms = FeatureNorms(self._shapes) if trainable_norm else None
        self.flow = u_shaped_flow(self._shapes)

    def transform(self, features: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return latents ``(B, C, h, w)``, the finest scale first, and log |det J| ``(B,)``.

        Raises:
            ImageSizeError: The features are of images of another size.
        """
        check_shapes(features, self._shapes)
        # Float32 even under autocast: a likelihood sums a million squares.
        with torch.autocast(features[0].device.type, enabled=False):
            normed, of_norms = self.norms(features) if self.norms else (features, 0.0)
            with features[0].device:  # FrEIA makes zeros on the host, and copying them waits
                latents, log_determinant = self.flow(normed)
        return latents, log_determinant + of_norms


def u_shaped_flow(shapes: Sequence[Shape]) -> GraphINN:
    """Return the flow, from features to latents of the same scales, the finest first.

    Args:
        shapes: ``(C, h, w)`` by scale, the finest first.

    Raises:
        ImageSizeError: A scale is not half as fine as the one before it.
    """
    for (_, *fine), (_, *coarse) in pairwise(shapes):
        if fine != [2 * side for side in coarse]:
            raise ImageSizeError(
                "U-Flow doubles the sides of a scale to those of the next finer one: wanted "
                f"{[2 * side for side in coarse]}, found {fine}. Choose an image size that all "
                "strides divide, such as a multiple of 32."
            )
    inputs = [InputNode(*shape, name=f"features {n}") for n, shape in enumerate(shapes)]
    nodes, latents = list(inputs), []
    stage: Node | InputNode = inputs[-1]
    for scale in reversed(range(len(shapes))):
        for step in range(STEPS):
            stage = _append(nodes, stage, AllInOneBlock, **_coupling(step))
        if scale == 0:
            latents.append(OutputNode(stage, name="latents 0"))
            break
        channels = stage.output_dims[0][0]
        halves = _append(
            nodes, stage, Split, section_sizes=(channels - channels // 2, channels // 2)
        )
        latents.append(OutputNode(halves.out0, name=f"latents {scale}"))
        upsampled = _append(nodes, halves.out1, IRevNetUpsampling)
        stage = _append(nodes, [inputs[scale - 1].out0, upsampled.out0], Concat)
    flow = GraphINN(nodes + latents[::-1])
    for block in flow.modules():
        if isinstance(block, AllInOneBlock):
            set_channel_permutation(block)
    return flow


def _append(nodes: list[Node], inputs: object, module: type[nn.Module], **options: object) -> Node:
    node = Node(inputs, module, options, name=f"{module.__name__} {len(nodes)}")
    nodes.append(node)
    return node


def _coupling(step: int) -> dict[str, object]:
    kernel = 3 if step % 2 == 0 else 1
    return {"subnet_constructor": convolutions(kernel, 1.0), "affine_clamping": CLAMP}


def build(
    *,
    weights: str | None,
    state: Mapping[str, Tensor] | None,
    image_size: ImageSize = 256,
    blocks: tuple[int, int] = (40, 20),
) -> UFlow:
    """Build a U-Flow model; see `models.components.base.Build`.

    Args:
        weights: Tag of the backbone's weights: a ResNet's, or two transformers' together.
        state: Tensors of the backbone; None leaves it random.
        image_size: Size of the images in pixels, after cropping.
        blocks: Numbers of blocks that two transformers run: of CaiT-M48's 48 and CaiT-S24's 24.

    Raises:
        ValueError: The weights are unknown, or the tensors are not this backbone's.
    """
    if weights in WEIGHTS and WEIGHTS[weights].parts:
        backbone = multi_scale_transformer(WEIGHTS[weights], state, image_size, blocks)
        return UFlow(backbone, image_size=image_size, trainable_norm=False)
    return UFlow(Backbone.of(weights, state), image_size=image_size, trainable_norm=True)


def multi_scale_transformer(
    weights: WeightsEntry,
    state: Mapping[str, Tensor] | None,
    image_size: ImageSize,
    blocks: tuple[int, int],
) -> ImagePyramid:
    """Return MS-CaiT: one CaiT on the images, a smaller one on images of half their size.

    Features are tokens after their networks' last LayerNorm, frozen like the rest.

    Args:
        weights: Weights of two parts.
        state: Their tensors as `models.components.weights.load_state` names them; None leaves the
            networks random.
        image_size: Size of the images in pixels.
        blocks: Numbers of blocks that the networks run.
    """
    height, width = height_width(image_size)
    parts = []
    for number, (tag, count) in enumerate(zip(weights.parts, blocks, strict=True)):
        factor = 0.5**number
        own = None if state is None else _part(state, f"{number}.")
        backbone = TransformerBackbone.of(
            *(tag, own, (count - 1,)),
            image_size=(round(height * factor), round(width * factor)),
            norm=True,
        )
        parts.append((backbone, factor))
    return ImagePyramid(weights, parts)


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix)
    }
