"""The interface of every augmentation: a function of images, targets and random streams."""

from dataclasses import dataclass
from typing import Protocol, TypeGuard

import torch
from torch import Tensor

from datasets_lib.augment.random_streams import RandomStreams

Targets = Tensor | None
"""int64 labels (B,), soft labels (B, K), bool masks (B, H, W), or None."""


class Augmentation(Protocol):
    """A transform of a whole batch on its device that keeps the images' memory format."""

    def __call__(
        self, images: Tensor, targets: Targets, streams: RandomStreams
    ) -> tuple[Tensor, Targets]:
        """Return the augmented batch.

        Args:
            images: (B, 3, H, W), uint8 or floating point in [0, 1].
            targets: Targets of the images; masks move with them.
            streams: Random numbers of the batch.
        """


@dataclass(frozen=True)
class Identity:
    """An augmentation that returns its input."""

    def __call__(
        self, images: Tensor, targets: Targets, streams: RandomStreams
    ) -> tuple[Tensor, Targets]:
        """Return the batch unchanged."""
        return images, targets


@dataclass(frozen=True)
class Sequence:
    """Augmentations applied one after the other, each with random streams of its own.

    Attributes:
        parts: Augmentations in order of application.
    """

    parts: tuple[Augmentation, ...]

    def __call__(
        self, images: Tensor, targets: Targets, streams: RandomStreams
    ) -> tuple[Tensor, Targets]:
        """Return the batch after the last part."""
        for number, part in enumerate(self.parts):
            images, targets = part(images, targets, streams.fold_in(f"part {number}"))
        return images, targets


def are_masks(targets: Targets) -> TypeGuard[Tensor]:
    """Return whether the targets are masks (B, H, W), which move with the images."""
    return targets is not None and targets.dim() == 3


def memory_format(images: Tensor) -> torch.memory_format:
    """Return the memory format of (B, C, H, W) images.

    >>> memory_format(torch.zeros(2, 3, 4, 4).contiguous(memory_format=torch.channels_last))
    torch.channels_last
    """
    channels_last = images.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format


def check_augmented(result: object, images: Tensor) -> Tensor:
    """Return the images of an augmentation's result.

    Args:
        result: What the augmentation returned.
        images: What it was given.

    Raises:
        TypeError: It is not a pair of images and targets, or the images have another shape, or
            are neither uint8 nor float32 made from uint8 images by scaling to [0, 1].
    """
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[0], Tensor):
        raise TypeError(
            f"An augmentation returned {type(result).__name__}: wanted a pair (images, targets)."
        )
    augmented: Tensor = result[0]
    if augmented.shape[:2] != images.shape[:2]:
        raise TypeError(
            f"An augmentation returned images of shape {tuple(augmented.shape)}: wanted "
            f"(B, C, H, W) with B and C of {tuple(images.shape)}."
        )
    if augmented.dtype not in (torch.uint8, torch.float32):
        raise TypeError(
            f"An augmentation returned images of type {augmented.dtype}: wanted uint8, or float32 "
            "in [0, 1]. Keep the type of the images."
        )
    # On CUDA reading a maximum would wait for the device, so values are checked on the CPU alone.
    if augmented.is_floating_point() and not augmented.is_cuda and float(augmented.max()) > 2.0:
        raise TypeError(
            f"An augmentation returned floats up to {float(augmented.max()):.3g}: wanted uint8, or "
            "floats in [0, 1]. Divide by 255, or keep the type of the images."
        )
    return augmented
