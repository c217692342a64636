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
