"""Layers that convolve by minimal filtering where that is faster than oneDNN's convolutions.

On CPUs with AVX2 alone, and on Intel's with AVX-512, outputs of wide layers and both gradients take
between 0.3 and 0.9 times as long (``python -m bench.perf.winograd``). On AMD's CPUs with AVX-512,
oneDNN's convolutions were twice as fast as matrix products, so that little is left to gain.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.components.minimal_filtering import SIDES, Grid, convolve, weight_gradient
from models.components.nominal_flops import counts_as
from models.components.processor import is_intel

_CHANNELS = 128
"""Number of channels, before and after, from which this is faster."""

_CHANNELS_FORWARD_3X3 = 256
"""The same without gradients, for kernels of 3 × 3, of which the output alone gains least."""

_TILES = 144
"""Number of tiles from which transforming the kernels costs less than is saved."""

_SHARE = 0.6
"""Share of the tiles' outputs below which too many are computed in vain: small maps."""


class WinogradConv2d(nn.Conv2d):
    """A convolution of stride 1 that is computed in whichever way is faster.

    Without gradients, that depends on the size of an image and not on the batch, so that neither
    does a score. With the number of threads, results differ by rounding, as those of matrix
    products do. Under autocast, on other devices, and while a graph is exported or compiled, it is
    torch's own convolution.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padding = self.padding[0]
        assert isinstance(padding, int)
        if not (_is_plain(input) and _is_faster(input, weight, padding)):
            outputs: Tensor = super()._conv_forward(input, weight, bias)
            return outputs
        return convolution(input, weight, padding, bias)


def use_winograd(module: nn.Module) -> None:
    """Compute a module's wide convolutions by minimal filtering where that is faster, in place.

    Only the class of such layers changes: names and tensors stay. No layer changes on CPUs other
    than those for which this was measured.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    if not (capability == "AVX2" or ("AVX512" in capability and is_intel())):
        return
    for layer in module.modules():
        if type(layer) is nn.Conv2d and _is_suitable(layer):
            layer.__class__ = WinogradConv2d


def convolution(images: Tensor, weight: Tensor, padding: int, bias: Tensor | None = None) -> Tensor:
    """Return the output ``(B, K, h, w)``, with gradients, by minimal filtering.

    Args:
        images: ``(B, C, H, W)`` float32.
        weight: Kernels ``(K, C, k, k)`` of 3, 4 or 5 pixels.
        padding: Width of the border of zeros, smaller than the kernels.
        bias: ``(K,)``.
    """
    outputs: Tensor = _Convolution.apply(images, weight, bias, padding)
    return outputs


def _is_suitable(layer: nn.Conv2d) -> bool:
    kernel = layer.kernel_size[0]
    return (
        layer.kernel_size in {(side, side) for side in SIDES}
        and layer.padding in {(width, width) for width in range(kernel)}
        and layer.padding_mode == "zeros"
        and layer.stride == layer.dilation == (1, 1)
        and layer.groups == 1
        and min(layer.in_channels, layer.out_channels) >= _CHANNELS
    )


def _is_plain(images: Tensor) -> bool:
    return (
        not torch.compiler.is_compiling()
        and images.device.type == "cpu"
        and images.dtype == torch.float32
        and images.ndim == 4
        and not torch.is_autocast_enabled("cpu")
    )


def _is_faster(images: Tensor, weight: Tensor, padding: int) -> bool:
    kernel = weight.shape[-1]
    trains = torch.is_grad_enabled() and (images.requires_grad or weight.requires_grad)
    grid = Grid(images.shape, kernel, padding)
    tiles = grid.rows * grid.columns * (len(images) if trains else 1)
    least = _CHANNELS if trains or kernel != 3 else _CHANNELS_FORWARD_3X3
    return min(weight.shape[:2]) >= least and tiles >= _TILES and grid.share >= _SHARE


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None, padding: int
    ) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.padding = padding
        with counts_as(_flops(images, weight, padding)):
            return convolve(images, weight, padding, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        of_images = of_weight = of_bias = None
        kernel, flops = weight.shape[-1], _flops(images, weight, ctx.padding)
        if ctx.needs_input_grad[0]:
            mirrored = weight.transpose(0, 1).flip(2, 3)
            with counts_as(flops):
                of_images = convolve(gradient, mirrored, kernel - 1 - ctx.padding)
        if ctx.needs_input_grad[1]:
            with counts_as(flops):
                of_weight = weight_gradient(images, gradient, kernel, ctx.padding)
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum(dim=(0, 2, 3))
        return of_images, of_weight, of_bias, None


def _flops(images: Tensor, weight: Tensor, padding: int) -> int:
    """Return the floating-point operations of the plain convolution, and of each gradient."""
    count, _, height, width = images.shape
    less = weight.shape[-1] - 1 - 2 * padding
    return 2 * count * weight.numel() * (height - less) * (width - less)
