"""Shared parts of the flows: FrEIA's blocks with permutations, the loss, and likelihood maps."""

import math
from collections.abc import Callable, Sequence
from functools import reduce

import torch
from FrEIA.framework import SequenceINN
from FrEIA.modules import AllInOneBlock, PermuteRandom
from torch import Tensor, nn

from models.components.errors import ImageSizeError

CLAMP = 2.0
"""FrEIA's soft clamp: a coupling scales by at most e² and at least e⁻²."""

Shape = tuple[int, int, int]
"""Shape ``(C, h, w)`` of the features of a layer."""

Subnet = Callable[[int, int], nn.Module]
"""Builds the network of a coupling from its numbers of input and output channels."""


def check_shapes(features: Sequence[Tensor], shapes: Sequence[Shape]) -> None:
    """Check that features have the shapes that a flow was built for.

    Raises:
        ImageSizeError: They do not.
    """
    found = [tuple(layer.shape[1:]) for layer in features]
    if found != list(shapes):
        raise ImageSizeError(
            f"This flow was built for features of shape {list(shapes)}, found {found}. Build it "
            "with the image size in use, the crop's if images are cropped."
        )


def convolutions(kernel: int, hidden_ratio: float) -> Subnet:
    """Return the builder of two convolutions around a ReLU.

    Args:
        kernel: Side of both kernels; borders are padded with zeros.
        hidden_ratio: Number of hidden channels over number of input channels.
    """

    def build(inputs: int, outputs: int) -> nn.Module:
        hidden = int(inputs * hidden_ratio)
        return nn.Sequential(
            nn.Conv2d(inputs, hidden, kernel, padding="same"),
            nn.ReLU(),
            nn.Conv2d(hidden, outputs, kernel, padding="same"),
        )

    return build


def convolutional_flow(
    shape: Sequence[int], steps: int, hidden_ratio: float, *, only_3x3: bool = False
) -> SequenceINN:
    """Return a flow over feature maps: couplings and hard permutations of the channels.

    Args:
        shape: ``(C, h, w)`` of the features.
        steps: Number of blocks.
        hidden_ratio: As in `convolutions`.
        only_3x3: Use 3×3 kernels in every block instead of 3×3 and 1×1 in turn.
    """
    flow = SequenceINN(*shape, force_tuple_output=False)
    for step in range(steps):
        kernel = 3 if only_3x3 or step % 2 == 0 else 1
        flow.append(
            AllInOneBlock,
            subnet_constructor=convolutions(kernel, hidden_ratio),
            affine_clamping=CLAMP,
        )
        set_channel_permutation(flow[step])
    return flow


def set_channel_permutation(block: AllInOneBlock) -> None:
    """Let a block permute its channels at random, by torch's generator and without a product."""
    channels = block.in_channels
    set_permutation(block, torch.eye(channels)[torch.randperm(channels)])
    block.permute_function = permuted


def permuted(values: Tensor, matrix: Tensor) -> Tensor:
    """Return values ``(B, C, …)`` with permuted channels, equal to their product with the matrix.

    FrEIA convolves with the matrix ``(C, C, 1, 1)``, where all products but one in C are with zero.
    """
    return values.index_select(1, matrix.flatten(1).argmax(1))


def rotation(size: int) -> Tensor:
    """Return a random orthogonal matrix ``(size, size)``, uniform by Haar measure.

    The Q factor of a Gaussian matrix, with the signs that make the factors unique (Mezzadri 2007).
    """
    q, r = torch.linalg.qr(torch.randn(size, size, dtype=torch.float64))
    return (q * r.diagonal().sign()).float()


def set_permutation(block: AllInOneBlock, matrix: Tensor) -> None:
    """Replace a block's permutation, which FrEIA drew from NumPy's generator, not from torch's."""
    shape = block.w_perm.shape
    block.w_perm = nn.Parameter(matrix.reshape(shape), requires_grad=False)
    block.w_perm_inv = nn.Parameter(matrix.T.reshape(shape), requires_grad=False)


def set_channel_order(block: PermuteRandom, order: Tensor) -> None:
    """Replace the permutation that FrEIA drew from NumPy's generator."""
    block.perm = nn.Parameter(order, requires_grad=False)
    block.perm_inv = nn.Parameter(order.argsort(), requires_grad=False)


class FeatureNorms(nn.Module):
    """A trainable LayerNorm over all dimensions of each layer's features, as a part of a flow.

    Its scales are parameters of the density as a block's are, so their log-determinant counts. The
    public reimplementations of FastFlow leave it out: every scale then falls by the learning rate
    at each step, from 1 to .96 in 50 steps of 1e-3, where the likelihood keeps it at 1.01.

    Args:
        shapes: ``(C, h, w)`` by layer.
        counted: Whether the log-determinant counts.
    """

    def __init__(self, shapes: Sequence[Shape], *, counted: bool = True) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(shape) for shape in shapes)
        self._counted = counted

    def forward(self, features: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Return normed features, and the scalar log |det J| of the scales."""
        normed = [norm(layer) for norm, layer in zip(self.norms, features, strict=True)]
        logs = torch.stack([norm.weight.abs().log().sum() for norm in self.norms]).sum()
        return normed, logs if self._counted else torch.zeros_like(logs)


def negative_log_likelihood(latents: Sequence[Tensor], log_determinant: Tensor) -> Tensor:
    """Return −log p ``(B,)`` of images under a standard normal distribution, without its constant.

    Args:
        latents: ``(B, C, h, w)`` per scale.
        log_determinant: ``(B,)``, log |det J| of all scales together.
    """
    squares = sum(z.square().sum(dim=tuple(range(1, z.ndim))) for z in latents)
    return 0.5 * squares - log_determinant


def likelihood_map(latents: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Return anomaly maps ``(B, H, W)`` of at least 0: −log of the mean likelihood over scales.

    The likelihood of a position is exp(−½ mean over channels of z²), upsampled bilinearly. All of
    it is computed in logarithms: a likelihood of strong defects is 0 in float32, from z = 15 on.

    Args:
        latents: ``(B, C, h, w)`` per scale.
        size: ``(H, W)`` of the images.
    """
    logs = []
    for z in latents:
        coarse = -0.5 * z.float().square().mean(dim=1)
        logs.append(_log_interpolated(_log_interpolated(coarse, 2, size[1]), 1, size[0]))
    return math.log(len(logs)) - reduce(_log_add, logs)


def _log_add(one: Tensor, other: Tensor) -> Tensor:
    """Return the log of a sum, given logs; `torch.logaddexp` underflows once exported to ONNX."""
    return torch.maximum(one, other) + (-(one - other).abs()).exp().log1p()


def _log_interpolated(logs: Tensor, dim: int, length: int) -> Tensor:
    """Return logs of numbers that are linearly interpolated along a dimension, given their logs.

    Args:
        logs: ``(B, h, w)``; numbers are at the centers of pixels, as `resize_maps` has them.
        dim: Dimension to resize, 1 or 2.
        length: Its new length.
    """
    last = logs.shape[dim] - 1
    center = torch.arange(length, device=logs.device) + 0.5
    place = (center * (logs.shape[dim] / length) - 0.5).clamp(0, last)
    before = place.long()
    share = (place - before).view(-1, *(1,) * (2 - dim))
    lower = logs.index_select(dim, before) + (1 - share).log()
    upper = logs.index_select(dim, (before + 1).clamp_max(last)) + share.log()
    return _log_add(lower, upper)
