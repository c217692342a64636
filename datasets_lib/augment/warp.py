"""Affine maps of a batch with one matrix per image: rotation, resized crops, quarter turns."""

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
    """Sample each image where its matrix sends the output's pixels.

    The map is written as products and sums, because the rounding of a matrix product may depend on
    the size of the batch.

    Args:
        images: (B, C, H, W), uint8 (the result is rounded) or floating point, or bool (B, H, W).
        matrix: (B, 2, 3), rows for x and y: from an output pixel's (x, y, 1) to the input's (x, y),
            in pixels from the image's center.
        padding: Values outside the image.
        mode: Interpolation; ``nearest`` for masks.

    Returns:
        Tensor of the shape, dtype and memory format of the images.
    """
    if images.dim() == 3:
        return warp(images[:, None], matrix, padding, mode)[:, 0]
    height, width = images.shape[2:]
    # Pixel centers, measured from the center of the image.
    x = torch.arange(width, device=images.device) + (0.5 - width / 2)
    y = (torch.arange(height, device=images.device) + (0.5 - height / 2))[:, None]
    m = matrix[:, :, :, None, None]
    to_x = m[:, 0, 0] * x + (m[:, 0, 1] * y + m[:, 0, 2])
    to_y = m[:, 1, 0] * x + (m[:, 1, 1] * y + m[:, 1, 2])
    # grid_sample wants coordinates in units of half the side.
    grid = torch.stack((to_x * (2 / width), to_y * (2 / height)), dim=-1)
    dtype = images.dtype if images.is_floating_point() else torch.float32
    values = images.to(dtype).contiguous()  # only sampling of whole planes is vectorized
    sampled = torch.nn.functional.grid_sample(
        values, grid.to(values.dtype), mode, padding, align_corners=False
    )
    if not images.is_floating_point():
        sampled = sampled.round_().to(images.dtype)
    return sampled.contiguous(memory_format=memory_format(images))


def rotation_matrix(degrees: Tensor) -> Tensor:
    """Return matrices (B, 2, 3) that rotate images counter-clockwise by (B,) degrees."""
    angle = torch.deg2rad(degrees)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    return torch.stack((cos, -sin, zero, sin, cos, zero), dim=1).view(-1, 2, 3)


@dataclass(frozen=True)
class Rotation:
    """Rotation of some images by an angle uniform in [−degrees, degrees]; masks rotate with them.

    Attributes:
        degrees: Largest angle.
        probability: Probability that an image is rotated; DRAEM rotates 30 %.
        padding: Values in the corners; DRAEM uses zeros, which are black.
    """

    degrees: float = 90.0
    probability: float = 0.3
    padding: Padding = "zeros"

    def __call__(
        self, images: Tensor, targets: Targets, streams: RandomStreams
    ) -> tuple[Tensor, Targets]:
        """Return the warped batch: bilinear images, nearest masks."""
        angle = streams.fold_in("angle").uniform(low=-self.degrees, high=self.degrees)
        turned = streams.fold_in("turned").bernoulli(self.probability)
        matrix = rotation_matrix(torch.where(turned, angle, 0.0))
        if are_masks(targets):
            targets = warp(targets, matrix, self.padding, "nearest")
        return warp(images, matrix, self.padding), targets


@dataclass(frozen=True)
class QuarterTurns:
    """Rotation of square images by 0, 90, 180 or 270 degrees; no pixel value changes."""

    def __call__(
        self, images: Tensor, targets: Targets, streams: RandomStreams
    ) -> tuple[Tensor, Targets]:
        """Return the rotated batch, each of the four angles with probability 1/4.

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
    """Rotate (B, C, S, S) or (B, S, S) counter-clockwise by (B,) times 90 degrees."""
    # One turn is a transpose and a top-bottom flip, two are both flips, three are a transpose and a
    # left-right flip.
    odd = (turns % 2 == 1).view(-1, *[1] * (images.dim() - 1))
    upright = torch.where(odd, images.transpose(-1, -2), images)
    if images.dim() == 4:
        upright = upright.contiguous(memory_format=memory_format(images))
    return cut_windows(upright, mirrored=turns >= 2, upside_down=(turns == 1) | (turns == 2))


@dataclass(frozen=True)
class ResizedCrop:
    """Random resized crop (Szegedy et al., CVPR 2015, section 6) and flip, as one warp.

    A box that does not fit is cut to the image's side instead of being drawn again.

    Attributes:
        area: Bounds of the box's share of the image, drawn uniformly.
        aspect: Bounds of width over height, drawn uniformly in the logarithm.
        flip: Probability of a left-right flip.
    """

    area: tuple[float, float] = (0.35, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5

    def __call__(
        self, images: Tensor, targets: Targets, streams: RandomStreams
    ) -> tuple[Tensor, Targets]:
        """Return the warped batch: bilinear images, nearest masks."""
        matrix = self._matrix(streams, images.shape[2], images.shape[3])
        if are_masks(targets):
            targets = warp(targets, matrix, "border", "nearest")
        return warp(images, matrix, "border"), targets

    def _matrix(self, streams: RandomStreams, height: int, width: int) -> Tensor:
        share = streams.fold_in("area").uniform(low=self.area[0], high=self.area[1])
        low, high = (math.log(bound) for bound in self.aspect)
        aspect = streams.fold_in("aspect").uniform(low=low, high=high).exp()
        # width · height = share and width / height = aspect, relative to the image.
        across = (share * aspect).sqrt().clamp_max(1)  # of the image's own width and height
        down = (share / aspect).sqrt().clamp_max(1)
        place = streams.fold_in("place").uniform(2, low=-0.5, high=0.5)
        mirror = 1 - 2 * streams.fold_in("flip").bernoulli(self.flip).float()
        zero = torch.zeros_like(across)
        # The box may move by the part of the side that it leaves free.
        to_x = (across * mirror, zero, place[:, 0] * (1 - across) * width)
        to_y = (zero, down, place[:, 1] * (1 - down) * height)
        return torch.stack((*to_x, *to_y), dim=1).view(-1, 2, 3)
