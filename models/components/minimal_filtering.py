"""Convolutions of stride 1 with fewer multiplications: Winograd's minimal filtering.

Overlapping tiles of the input and the kernels are transformed, multiplied place by place, and the
products are transformed to tiles of the output (Lavin and Gray, CVPR 2016, arXiv:1509.09308).
An output then needs 2.25 multiplications in place of 9 for a kernel of 3 × 3, 2.56 in place of 16
for 4 × 4, and 4 in place of 25 for 5 × 5. Results equal `torch.nn.functional.conv2d`'s up to
rounding: about 1e-5 of the largest value in float32.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import torch
from torch import Tensor

SIDES = {3: 6, 4: 8, 5: 8}
"""Side of a tile of inputs, by the side of the kernel."""

_HALF = Fraction(1, 2)
_POINTS = {6: (0, 1, -1, 2, -2), 8: (0, 1, -1, 2, -2, _HALF, -_HALF)}
"""Points at which polynomials are evaluated, besides infinity, by the side of a tile of inputs."""

_TILES_AT_ONCE = 256
"""Number of tiles that are in memory at a time."""

_Part = tuple[slice, slice]


def convolve(images: Tensor, weight: Tensor, padding: int, bias: Tensor | None = None) -> Tensor:
    """Return ``(B, K, h, w)``, with channels last in memory, of images ``(B, C, H, W)``.

    Args:
        images: Float32.
        weight: Kernels ``(K, C, k, k)`` of 3, 4 or 5 pixels.
        padding: Width of the border of zeros.
        bias: ``(K,)``, added to every position.
    """
    after, channels, kernel, _ = weight.shape
    transforms, grid = _transforms(kernel), Grid(images.shape, kernel, padding)
    padded = grid.padded(images)
    kernels = _apply(transforms.of_kernels, weight.permute(2, 3, 1, 0))
    kernels = kernels.view(-1, channels, after)
    blocks = images.new_empty(grid.blocks(after))
    for part in grid.parts():
        tiles = _apply(transforms.of_inputs, grid.tiles(padded, part))
        products = torch.bmm(tiles.view(len(kernels), -1, channels), kernels)
        outputs = _apply(transforms.of_outputs, products)
        here = blocks[part].permute(2, 4, 0, 1, 3, 5)
        if bias is None:
            here.copy_(outputs.view(here.shape))
        else:
            torch.add(outputs.view(here.shape), bias, out=here)
    return grid.joined(blocks)


def weight_gradient(images: Tensor, gradient: Tensor, kernel: int, padding: int) -> Tensor:
    """Return the gradient ``(K, C, k, k)`` of the kernels of a convolution.

    Args:
        images: ``(B, C, H, W)`` float32, the input.
        gradient: ``(B, K, h, w)``, the gradient of the output.
        kernel: Side of the kernels.
        padding: Width of the border of zeros.
    """
    channels, after = images.shape[1], gradient.shape[1]
    transforms, grid = _transforms(kernel), Grid(images.shape, kernel, padding)
    padded, blocks = grid.padded(images), grid.split(gradient)
    products = images.new_zeros(transforms.inputs**2, channels, after)
    for part in grid.parts():
        tiles = _apply(transforms.of_inputs, grid.tiles(padded, part))
        here = blocks[part].permute(2, 4, 0, 1, 3, 5)
        spread = _apply(transforms.of_outputs.T, here).view(len(products), -1, after)
        products.baddbmm_(tiles.view(len(products), -1, channels).mT, spread)
    kernel_gradient = _apply(transforms.of_kernels.T, products)
    return kernel_gradient.view(kernel, kernel, channels, after).permute(3, 2, 0, 1)


class Grid:
    """The tiles of a batch.

    Attributes:
        rows: Number of tiles in a column of an image.
        columns: Number of tiles in a row.

    Args:
        shape: ``(B, C, H, W)`` of the images.
        kernel: Side of the kernels.
        padding: Width of the border of zeros.
    """

    def __init__(self, shape: Sequence[int], kernel: int, padding: int) -> None:
        self._count, _, self._image_height, self._image_width = shape
        self._kernel, self._padding = kernel, padding
        self._height = self._image_height + 2 * padding - kernel + 1
        self._width = self._image_width + 2 * padding - kernel + 1
        self._inputs = SIDES[kernel]
        self._outputs = self._inputs - kernel + 1
        self.rows = -(-self._height // self._outputs)
        self.columns = -(-self._width // self._outputs)

    @property
    def share(self) -> float:
        """Return the share of the tiles' outputs that are not beyond the image."""
        tiled = self.rows * self.columns * self._outputs**2
        return self._height * self._width / tiled

    def parts(self) -> Iterator[_Part]:
        """Yield some images and some rows of tiles at a time."""
        images = max(1, _TILES_AT_ONCE // (self.rows * self.columns))
        rows = max(1, _TILES_AT_ONCE // self.columns)
        for image in range(0, self._count, images):
            for row in range(0, self.rows, rows):
                yield (
                    slice(image, min(image + images, self._count)),
                    slice(row, min(row + rows, self.rows)),
                )

    def padded(self, images: Tensor) -> Tensor:
        """Return ``(B, H, W, C)``, contiguous, with zeros where the last tiles end."""
        more = self._kernel - 1 - self._padding
        down = self.rows * self._outputs + more - self._image_height
        right = self.columns * self._outputs + more - self._image_width
        return _bordered(images, self._padding, (down, right))

    def tiles(self, padded: Tensor, part: _Part) -> Tensor:
        """Return a part's tiles ``(side, side, B, rows, columns, C)``, a view."""
        images, rows = part
        image, line, pixel, _ = padded.stride()
        step = self._outputs
        shape = images.stop - images.start, rows.stop - rows.start, self.columns, padded.shape[-1]
        return padded[images, rows.start * step :].as_strided(
            (self._inputs, self._inputs, *shape), (line, pixel, image, step * line, step * pixel, 1)
        )

    def blocks(self, channels: int) -> tuple[int, ...]:
        """Return the shape of outputs by block, ``(B, rows, side, columns, side, C)``."""
        side = self._outputs
        return self._count, self.rows, side, self.columns, side, channels

    def split(self, outputs: Tensor) -> Tensor:
        """Return outputs ``(B, C, h, w)`` by block, with zeros where they end."""
        right = self.columns * self._outputs - self._width
        down = self.rows * self._outputs - self._height
        return _bordered(outputs, 0, (down, right)).view(self.blocks(outputs.shape[1]))

    def joined(self, blocks: Tensor) -> Tensor:
        """Return outputs ``(B, C, h, w)`` of blocks, dense and with channels last in memory.

        They are not a view of the blocks: a view that an autograd function returns may not be
        changed in place, as a ReLU does.
        """
        shape = self._count, self.rows * self._outputs, self.columns * self._outputs
        outputs = blocks.view(*shape, blocks.shape[-1])[:, : self._height, : self._width]
        outputs = outputs.permute(0, 3, 1, 2)
        if self.share < 1:
            return outputs.contiguous(memory_format=torch.channels_last)
        return blocks.new_empty(0).set_(
            blocks.untyped_storage(), 0, outputs.shape, outputs.stride()
        )


def _apply(matrix: Tensor, tiles: Tensor) -> Tensor:
    """Transform both axes of tiles ``(m, m, …)`` by ``(n, m)``: return ``(n, n, values)``."""
    size = matrix.shape[1]
    rows = matrix @ tiles.reshape(size, -1)
    return matrix @ rows.view(len(rows), size, -1)


def _bordered(images: Tensor, before: int, after: tuple[int, int]) -> Tensor:
    """Return ``(B, H, W, C)`` with borders of zeros; `F.pad` writes every pixel twice."""
    count, channels, height, width = images.shape
    bottom, right = before + height, before + width
    padded = images.new_empty(count, bottom + after[0], right + after[1], channels)
    for border in (
        padded[:, :before],
        padded[:, bottom:],
        padded[:, :, :before],
        padded[:, :, right:],
    ):
        border.zero_()
    padded[:, before:bottom, before:right] = images.permute(0, 2, 3, 1)
    return padded


@dataclass(frozen=True)
class _Transforms:
    """Matrices that transform an axis of a tile.

    Attributes:
        inputs: Side of a tile of inputs.
        of_inputs: ``(inputs, inputs)``.
        of_kernels: ``(inputs, kernel)``.
        of_outputs: ``(outputs, inputs)``.
    """

    inputs: int
    of_inputs: Tensor
    of_kernels: Tensor
    of_outputs: Tensor


@cache
def _transforms(kernel: int) -> _Transforms:
    """Return the transforms of Toom and Cook, exact before they are rounded to float32."""
    inputs = SIDES[kernel]
    outputs = inputs - kernel + 1
    points = [Fraction(point) for point in _POINTS[inputs]]
    of_inputs, of_kernels = [], []
    for index, point in enumerate(points):
        others = [*points[:index], *points[index + 1 :]]
        divisor = math.prod(point - other for other in others)
        of_inputs.append([*_coefficients(others), Fraction(0)])
        of_kernels.append([power / divisor for power in _powers(point, kernel)])
    of_inputs.append(_coefficients(points))
    of_kernels.append(_at_infinity(kernel))
    evaluated = [*(_powers(point, outputs) for point in points), _at_infinity(outputs)]
    of_outputs = [list(column) for column in zip(*evaluated, strict=True)]
    return _Transforms(inputs, *map(_float32, (of_inputs, of_kernels, of_outputs)))


def _powers(point: Fraction, count: int) -> list[Fraction]:
    return [point**power for power in range(count)]


def _at_infinity(count: int) -> list[Fraction]:
    return [*[Fraction(0)] * (count - 1), Fraction(1)]


def _coefficients(roots: Sequence[Fraction]) -> list[Fraction]:
    """Return the coefficients of the polynomial with these roots, the constant's first."""
    coefficients = [Fraction(1)]
    for root in roots:
        pairs = zip([Fraction(0), *coefficients], [*coefficients, Fraction(0)], strict=True)
        coefficients = [below - root * same for below, same in pairs]
    return coefficients


def _float32(rows: Sequence[Sequence[Fraction]]) -> Tensor:
    values = [[float(value) for value in row] for row in rows]
    return torch.tensor(values, dtype=torch.float32, device="cpu")
