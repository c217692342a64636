"""Affine maps of a batch, one matrix an image; and rotation, which is one of them."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from datasets_lib.augment.augmentation import Targets, are_masks, memory_format
from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.augment.rows import cut_windows

Padding = Literal["zeros", "border", "reflection"]


def warp(
    images: Tensor,
    matrix: Tensor,
    padding: Padding = "zeros",
    mode: Literal["bilinear", "nearest"] = "bilinear",
) -> Tensor:
    """Samples each image where its matrix sends the output's pixels.

    Written out as products and sums and not as a matrix product, whose rounding may depend on how
    many images are in the batch.

    Args:
        images: (B, C, H, W), uint8 (the result is rounded) or floating point, or bool (B, H, W).
        matrix: (B, 2, 3), rows for x and y: from an output pixel's (x, y, 1) to the input's (x, y),
            in pixels from the image's center.
        padding: What lies outside the image.
        mode: Interpolation; masks want ``nearest``.

    Returns:
        Like the images.
    """
    if images.dim() == 3:
        return warp(images[:, None], matrix, padding, mode)[:, 0]
    height, width = images.shape[2:]
    x = torch.arange(width, device=images.device) + (0.5 - width / 2)
    y = (torch.arange(height, device=images.device) + (0.5 - height / 2))[:, None]
    m = matrix[:, :, :, None, None]
    to_x = m[:, 0, 0] * x + (m[:, 0, 1] * y + m[:, 0, 2])
    to_y = m[:, 1, 0] * x + (m[:, 1, 1] * y + m[:, 1, 2])
    grid = torch.stack((to_x * (2 / width), to_y * (2 / height)), dim=-1)
    dtype = images.dtype if images.is_floating_point() else torch.float32
    values = images.to(dtype).contiguous()  # sampling planes is vectorized, channels_last is not
    sampled = torch.nn.functional.grid_sample(
        values, grid.to(values.dtype), mode, padding, align_corners=False
    )
    if not images.is_floating_point():
        sampled = sampled.round_().to(images.dtype)
    return sampled.contiguous(memory_format=memory_format(images))


def rotation_matrix(degrees: Tensor) -> Tensor:
    """(B, 2, 3) that turn images counter-clockwise about their center by (B,) degrees."""
    angle = torch.deg2rad(degrees)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    return torch.stack((cos, -sin, zero, sin, cos, zero), dim=1).view(-1, 2, 3)


@dataclass(frozen=True)
class Rotation:
    """Turns some of the images by an angle uniform in [−degrees, degrees]; masks turn along.

    Attributes:
        degrees: The largest angle.
        probability: Of turning an image at all; DRAEM turns 30 % of them.
        padding: What the corners show. Zeros, as DRAEM has it, draw black corners.
    """

    degrees: float = 90.0
    probability: float = 0.3
    padding: Padding = "zeros"

    def __call__(
        self, images: Tensor, targets: Targets, streams: RandomStreams
    ) -> tuple[Tensor, Targets]:
        """Bilinear for images, nearest for masks."""
        angle = streams.fold_in("angle").uniform(low=-self.degrees, high=self.degrees)
        turned = streams.fold_in("turned").bernoulli(self.probability)
        matrix = rotation_matrix(torch.where(turned, angle, 0.0))
        if are_masks(targets):
            targets = warp(targets, matrix, self.padding, "nearest")
        return warp(images, matrix, self.padding), targets


@dataclass(frozen=True)
class QuarterTurns:
    """Turns square images by 0, 90, 180 or 270 degrees; pixels and masks move, none changes."""

    def __call__(
        self, images: Tensor, targets: Targets, streams: RandomStreams
    ) -> tuple[Tensor, Targets]:
        """Each of the four with probability 1/4.

        Raises:
            ValueError: The images are not square.
        """
        height, width = images.shape[2:]
        if height != width:
            raise ValueError(
                f"Quarter turns want square images, found {height}×{width}. Resize them to a "
                "square or use 'flips'."
            )
        turns = streams.fold_in("turns").integers(4)
        if are_masks(targets):
            targets = quarter_turns(targets, turns)
        return quarter_turns(images, turns), targets


def quarter_turns(images: Tensor, turns: Tensor) -> Tensor:
    """(B, C, S, S) or (B, S, S) turned counter-clockwise by (B,) times 90 degrees.

    One turn transposes and then flips top to bottom; two flip both ways.
    """
    odd = (turns % 2 == 1).view(-1, *[1] * (images.dim() - 1))
    upright = torch.where(odd, images.transpose(-1, -2), images)
    if images.dim() == 4:
        upright = upright.contiguous(memory_format=memory_format(images))
    return cut_windows(upright, mirrored=turns >= 2, upside_down=(turns == 1) | (turns == 2))


@dataclass(frozen=True)
class ResizedCrop:
    """Inception's crop (Szegedy et al., CVPR 2015, section 6) and a left-right flip, as one warp.

    A box that would not fit is cut to the image's side rather than drawn again.

    Attributes:
        area: Bounds of the box's share of the image; uniform between them.
        aspect: Bounds of width by height; its logarithm is uniform.
        flip: Probability of a left-right flip.
    """

    area: tuple[float, float] = (0.35, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5

    def __call__(
        self, images: Tensor, targets: Targets, streams: RandomStreams
    ) -> tuple[Tensor, Targets]:
        """Bilinear for images, nearest for masks."""
        matrix = self._matrix(streams, images.shape[2], images.shape[3])
        if are_masks(targets):
            targets = warp(targets, matrix, "border", "nearest")
        return warp(images, matrix, "border"), targets

    def _matrix(self, streams: RandomStreams, height: int, width: int) -> Tensor:
        share = streams.fold_in("area").uniform(low=self.area[0], high=self.area[1])
        low, high = (math.log(bound) for bound in self.aspect)
        aspect = streams.fold_in("aspect").uniform(low=low, high=high).exp()
        across = (share * aspect).sqrt().clamp_max(1)  # of the image's own width and height
        down = (share / aspect).sqrt().clamp_max(1)
        place = streams.fold_in("place").uniform(2, low=-0.5, high=0.5)
        mirror = 1 - 2 * streams.fold_in("flip").bernoulli(self.flip).float()
        zero = torch.zeros_like(across)
        to_x = (across * mirror, zero, place[:, 0] * (1 - across) * width)
        to_y = (zero, down, place[:, 1] * (1 - down) * height)
        return torch.stack((*to_x, *to_y), dim=1).view(-1, 2, 3)
