"""RandAugment for whole batches: every image its own operations, no image its own loop.

Operations are grouped by what they are. Those on pixel values are tables (`lookup`), those that
move pixels are matrices (`warp`), saturation and sharpness blend with a second image; in each round
all images go through all three groups, and an image's other two do nothing to it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from datasets_lib.augment.augmentation import Targets, are_masks, memory_format
from datasets_lib.augment.color_jitter import gray
from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.augment.warp import rotation_matrix, warp


class Operation(IntEnum):
    """RandAugment's fourteen."""

    IDENTITY = 0
    SHEAR_X = 1
    SHEAR_Y = 2
    TRANSLATE_X = 3
    TRANSLATE_Y = 4
    ROTATE = 5
    BRIGHTNESS = 6
    SATURATION = 7
    CONTRAST = 8
    SHARPNESS = 9
    POSTERIZE = 10
    SOLARIZE = 11
    AUTOCONTRAST = 12
    EQUALIZE = 13


@dataclass(frozen=True)
class RandAugment:
    """Applies some operations at one magnitude (Cubuk et al.: RandAugment, NeurIPS 2020).

    Ranges are torchvision's; shears keep the image's center and interpolation is bilinear.

    Attributes:
        operations: How many, one after the other.
        magnitude: In [0, 30].
    """

    operations: int = 2
    magnitude: float = 9.0

    def __call__(
        self, images: Tensor, targets: Targets, streams: RandomStreams
    ) -> tuple[Tensor, Targets]:
        """Images of the same dtype; floating-point ones are rounded to 8 bits on the way.

        Raises:
            ValueError: Targets are masks.
        """
        if are_masks(targets):
            raise ValueError(
                "RandAugment changes images in ways that masks cannot follow, and was given masks "
                f"of shape {tuple(targets.shape)}. Use 'flips', 'rotation' or 'color_jitter' for "
                "anomaly detection."
            )
        is_float = images.is_floating_point()
        result = (images * 255).round().to(torch.uint8) if is_float else images
        result = result.contiguous()
        for number in range(self.operations):
            of_round = streams.fold_in(f"round {number}")
            operation = of_round.fold_in("operation").integers(len(Operation))
            sign = of_round.fold_in("sign").bernoulli(0.5).float() * 2 - 1
            result = self.apply(result, operation, sign)
        if is_float:
            result = result.to(images.dtype) / 255
        return result.contiguous(memory_format=memory_format(images)), targets

    def apply(self, images: Tensor, operation: Tensor, sign: Tensor) -> Tensor:
        """One operation an image.

        Args:
            images: uint8 (B, 3, H, W), contiguous.
            operation: (B,) of `Operation`.
            sign: (B,) of ±1, the direction where an operation has one.
        """
        factor = 1 + sign * (0.9 * self.magnitude / 30)
        images = apply_tables(images, self._tables(images, operation, factor))
        images = _blend_where(images, operation == Operation.SATURATION, factor, _gray)
        images = _blend_where(images, operation == Operation.SHARPNESS, factor, _smooth)
        return warp(images, self._matrix(images, operation, sign))

    def _tables(self, images: Tensor, operation: Tensor, factor: Tensor) -> Tensor:
        """(B, 3, 256), the identity for images that have another kind of operation."""
        values = levels(images)
        histogram = histograms(images)
        factor = factor[:, None, None]
        bits = 8 - round(self.magnitude / 7.5)
        candidates = {
            Operation.BRIGHTNESS: blended(values, 0.0, factor),
            Operation.CONTRAST: blended(values, _mean_gray(images), factor),
            Operation.POSTERIZE: posterized(values, bits),
            Operation.SOLARIZE: solarized(values, 255 * (1 - self.magnitude / 30)),
            Operation.AUTOCONTRAST: autocontrasted(values, histogram),
            Operation.EQUALIZE: equalized(values, histogram),
        }
        tables = values.expand(*images.shape[:2], 256)
        for kind, table in candidates.items():
            tables = torch.where((operation == kind)[:, None, None], table, tables)
        return tables

    def _matrix(self, images: Tensor, operation: Tensor, sign: Tensor) -> Tensor:
        """(B, 2, 3), the identity for images that have another kind of operation."""
        strength = sign * (self.magnitude / 30)

        def where(kind: Operation, value: Tensor) -> Tensor:
            return torch.where(operation == kind, value, 0.0)

        height, width = images.shape[2:]
        matrix = rotation_matrix(where(Operation.ROTATE, 30 * strength))
        matrix[:, 0, 1] += where(Operation.SHEAR_X, 0.3 * strength)
        matrix[:, 1, 0] += where(Operation.SHEAR_Y, 0.3 * strength)
        # The paper moves 331-pixel images by 150 at most.
        matrix[:, 0, 2] -= where(Operation.TRANSLATE_X, 150 / 331 * width * strength)
        matrix[:, 1, 2] -= where(Operation.TRANSLATE_Y, 150 / 331 * height * strength)
        return matrix


def _mean_gray(images: Tensor) -> Tensor:
    """(B, 1, 1), the mean of the truncated grays, summed as integers."""
    total = _gray(images.float()).long().sum(dim=(2, 3))
    return total[:, :, None].float() / (images.shape[2] * images.shape[3])


def _blend_where(
    images: Tensor, chosen: Tensor, factor: Tensor, other: Callable[[Tensor], Tensor]
) -> Tensor:
    factor = torch.where(chosen, factor, 1.0)[:, None, None, None]
    values = images.float()
    return blended(values, other(values), factor).to(torch.uint8)


def _gray(values: Tensor) -> Tensor:
    return gray(values).floor_()


def _smooth(values: Tensor) -> Tensor:
    """3×3 means in which the middle counts five times; the border stays."""
    of_three_rows = values[:, :, :-2] + values[:, :, 1:-1] + values[:, :, 2:]
    total = of_three_rows[..., :-2] + of_three_rows[..., 1:-1] + of_three_rows[..., 2:]
    smooth = values.clone()
    smooth[:, :, 1:-1, 1:-1] = ((total + 4 * values[:, :, 1:-1, 1:-1]) / 13).round_()
    return smooth


def apply_tables(images: Tensor, tables: Tensor) -> Tensor:
    """uint8 (B, C, H, W) through tables (B, C, 256) of whole numbers in [0, 255]."""
    values = images.flatten(2).long()
    return tables.to(torch.uint8).gather(2, values).view(images.shape)


def histograms(images: Tensor) -> Tensor:
    """int64 (B, C, 256), how often each value occurs in uint8 (B, C, H, W)."""
    values = images.flatten(2).long()
    counts = values.new_zeros((*images.shape[:2], 256))
    return counts.scatter_add_(2, values, torch.ones_like(values))


def levels(images: Tensor) -> Tensor:
    """float32 (256,), the values themselves."""
    return torch.arange(256, device=images.device, dtype=torch.float32)


def blended(values: Tensor, other: Tensor | float, factor: Tensor) -> Tensor:
    """``factor`` of the values and the rest of the other, clamped to [0, 255] and truncated.

    In Pillow's form, where a value and the same other are that value whatever the rounding.
    """
    return (other + factor * (values - other)).clamp_(0, 255).floor_()


def posterized(values: Tensor, bits: int) -> Tensor:
    """The values' highest bits."""
    step = 1 << (8 - bits)
    return (values / step).floor() * step


def solarized(values: Tensor, threshold: float) -> Tensor:
    """Values from the threshold on, inverted."""
    return torch.where(values >= threshold, 255 - values, values)


def autocontrasted(values: Tensor, histogram: Tensor) -> Tensor:
    """(B, C, 256), stretched so that each channel's lowest value is 0 and its highest 255."""
    present = histogram > 0
    low = torch.where(present, values, 255.0).amin(2, keepdim=True)
    high = torch.where(present, values, 0.0).amax(2, keepdim=True)
    flat = high <= low
    scale = torch.where(flat, 1.0, (high - low) / 255)
    stretched = (values - torch.where(flat, 0.0, low)) / scale
    return stretched.clamp_(0, 255).floor_()


def equalized(values: Tensor, histogram: Tensor) -> Tensor:
    """(B, C, 256), Pillow's histogram equalization, in whole numbers."""
    present = histogram > 0
    highest = torch.where(present, torch.arange(256, device=values.device), 0).amax(2, keepdim=True)
    step = (histogram.sum(2, keepdim=True) - histogram.gather(2, highest)) // 255
    below = histogram.cumsum(2) - histogram
    table = ((below + step // 2) // step.clamp_min(1)).clamp_(0, 255)
    return torch.where(step > 0, table, values)
