"""RandAugment for whole batches: each image has its own operations, without a loop over images.

Operations fall into three groups: those on pixel values are tables of 256 values, those that move
pixels are matrices (`warp`), and saturation and sharpness blend with a second image. In each round
all images pass through all three groups; the two groups that an image did not draw leave it
unchanged. Results are those of torchvision's uint8 kernels, which truncate where they blend.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from datasets_lib.augment.augmentation import (
    Augmentation,
    Sequence,
    Targets,
    are_masks,
    memory_format,
)
from datasets_lib.augment.color_jitter import gray
from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.augment.warp import ResizedCrop, rotation_matrix, warp


class Operation(IntEnum):
    """The fourteen operations of RandAugment."""

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
    """Random operations at one magnitude (Cubuk et al.: RandAugment, NeurIPS 2020).

    Ranges are torchvision's; shears keep the image's center and interpolation is bilinear.

    Attributes:
        operations: Number of operations, applied one after the other.
        magnitude: Strength of the operations, in [0, 30].
    """

    operations: int = 2
    magnitude: float = 9.0

    def __call__(
        self, images: Tensor, targets: Targets, streams: RandomStreams
    ) -> tuple[Tensor, Targets]:
        """Return images of the same dtype; floating-point images are rounded to 8 bits on the way.

        Raises:
            ValueError: Targets are masks.
        """
        if are_masks(targets):
            raise ValueError(
                "RandAugment changes images in ways that masks cannot follow, but it got masks of "
                f"shape {tuple(targets.shape)}. Use 'flips', 'rotation' or 'color_jitter' for "
                "anomaly detection."
            )
        is_float = images.is_floating_point()
        result = (images * 255).round().to(torch.uint8) if is_float else images
        result = result.contiguous()
        for number in range(self.operations):
            round_streams = streams.fold_in(f"round {number}")
            operation = round_streams.fold_in("operation").integers(len(Operation))
            sign = round_streams.fold_in("sign").bernoulli(0.5).float() * 2 - 1
            result = self.apply(result, operation, sign)
        if is_float:
            result = result.to(images.dtype) / 255
        return result.contiguous(memory_format=memory_format(images)), targets

    def apply(self, images: Tensor, operation: Tensor, sign: Tensor) -> Tensor:
        """Apply one operation to each image.

        Args:
            images: uint8 (B, 3, H, W), contiguous.
            operation: (B,), members of `Operation`.
            sign: (B,), ±1, the direction of operations that have one.
        """
        factor = 1 + sign * (0.9 * self.magnitude / 30)
        images = apply_tables(images, self._tables(images, operation, factor))
        images = _blend_where(images, operation == Operation.SATURATION, factor, _gray)
        images = _blend_where(images, operation == Operation.SHARPNESS, factor, _smooth)
        return warp(images, self._matrix(images, operation, sign))

    def _tables(self, images: Tensor, operation: Tensor, factor: Tensor) -> Tensor:
        """Return (B, 3, 256), the identity for images with another kind of operation."""
        values = levels(images)
        histogram = histograms(images)
        factor = factor[:, None, None]
        bits = 8 - round(self.magnitude / 7.5)  # 8 bits at magnitude 0, 4 at 30
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
        """Return (B, 2, 3), the identity for images with another kind of operation."""
        strength = sign * (self.magnitude / 30)

        def where(kind: Operation, value: Tensor) -> Tensor:
            return torch.where(operation == kind, value, 0.0)

        height, width = images.shape[2:]
        matrix = rotation_matrix(where(Operation.ROTATE, 30 * strength))
        matrix[:, 0, 1] += where(Operation.SHEAR_X, 0.3 * strength)
        matrix[:, 1, 0] += where(Operation.SHEAR_Y, 0.3 * strength)
        # The paper moves images of 331 pixels by at most 150.
        matrix[:, 0, 2] -= where(Operation.TRANSLATE_X, 150 / 331 * width * strength)
        matrix[:, 1, 2] -= where(Operation.TRANSLATE_Y, 150 / 331 * height * strength)
        return matrix


def modern() -> Augmentation:
    """Return RandAugment 2 × 9 followed by a random resized crop and a flip."""
    return Sequence((RandAugment(), ResizedCrop()))


def _mean_gray(images: Tensor) -> Tensor:
    """Return (B, 1, 1), the mean of the truncated grays, summed as integers."""
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
    """Return 3×3 means in which the center counts five times; the border is unchanged."""
    three_rows = values[:, :, :-2] + values[:, :, 1:-1] + values[:, :, 2:]
    total = three_rows[..., :-2] + three_rows[..., 1:-1] + three_rows[..., 2:]
    smooth = values.clone()
    # The center is in the total once, so four more make five; 8 + 5 = 13.
    smooth[:, :, 1:-1, 1:-1] = ((total + 4 * values[:, :, 1:-1, 1:-1]) / 13).round_()
    return smooth


def apply_tables(images: Tensor, tables: Tensor) -> Tensor:
    """Map uint8 images (B, C, H, W) through tables (B, C, 256) of whole numbers in [0, 255]."""
    values = images.flatten(2).long()
    return tables.to(torch.uint8).gather(2, values).view(images.shape)


def histograms(images: Tensor) -> Tensor:
    """Count each value of uint8 images (B, C, H, W); int64 (B, C, 256)."""
    values = images.flatten(2).long()
    counts = values.new_zeros((*images.shape[:2], 256))
    return counts.scatter_add_(2, values, torch.ones_like(values))


def levels(images: Tensor) -> Tensor:
    """Return the identity table, float32 (256,)."""
    return torch.arange(256, device=images.device, dtype=torch.float32)


def blended(values: Tensor, other: Tensor | float, factor: Tensor) -> Tensor:
    """Blend ``factor`` of the values with the rest of the other, clamped to [0, 255] and truncated.

    Pillow's form of the sum: blending a value with itself returns it whatever the rounding.
    """
    return (other + factor * (values - other)).clamp_(0, 255).floor_()


def posterized(values: Tensor, bits: int) -> Tensor:
    """Keep the highest bits of the values."""
    step = 1 << (8 - bits)
    return (values / step).floor() * step


def solarized(values: Tensor, threshold: float) -> Tensor:
    """Invert the values at or above the threshold."""
    return torch.where(values >= threshold, 255 - values, values)


def autocontrasted(values: Tensor, histogram: Tensor) -> Tensor:
    """Return tables (B, C, 256) that stretch each channel from its range to [0, 255]."""
    present = histogram > 0
    low = torch.where(present, values, 255.0).amin(2, keepdim=True)
    high = torch.where(present, values, 0.0).amax(2, keepdim=True)
    flat = high <= low
    scale = torch.where(flat, 1.0, (high - low) / 255)
    stretched = (values - torch.where(flat, 0.0, low)) / scale
    return stretched.clamp_(0, 255).floor_()


def equalized(values: Tensor, histogram: Tensor) -> Tensor:
    """Return tables (B, C, 256) of Pillow's histogram equalization, in whole numbers."""
    present = histogram > 0
    highest = torch.where(present, torch.arange(256, device=values.device), 0).amax(2, keepdim=True)
    # As in Pillow, the pixels of the highest value do not count toward the step.
    step = (histogram.sum(2, keepdim=True) - histogram.gather(2, highest)) // 255
    below = histogram.cumsum(2) - histogram
    table = ((below + step // 2) // step.clamp_min(1)).clamp_(0, 255)
    return torch.where(step > 0, table, values)
