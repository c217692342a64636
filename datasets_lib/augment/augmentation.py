"""What every augmentation is: a function of images, targets and draws."""

from dataclasses import dataclass
from typing import Protocol, TypeGuard

import torch
from torch import Tensor

from datasets_lib.augment.random_streams import RandomStreams

Targets = Tensor | None
"""int64 labels (B,), soft labels (B, K), bool masks (B, H, W), or None."""


class Augmentation(Protocol):
    """Alters a batch on the device it is on; images keep their memory format."""

    def __call__(
        self, images: Tensor, targets: Targets, streams: RandomStreams
    ) -> tuple[Tensor, Targets]:
        """The augmented batch.

        Args:
            images: (B, 3, H, W), uint8 or floating point in [0, 1].
            targets: What belongs to the images; masks move with them.
            streams: The batch's random numbers.
        """


@dataclass(frozen=True)
class Identity:
    """Leaves a batch as it is."""

    def __call__(
        self, images: Tensor, targets: Targets, streams: RandomStreams
    ) -> tuple[Tensor, Targets]:
        """The batch itself."""
        return images, targets


@dataclass(frozen=True)
class Sequence:
    """Augmentations one after the other, each with draws of its own.

    Attributes:
        parts: In the order of use.
    """

    parts: tuple[Augmentation, ...]

    def __call__(
        self, images: Tensor, targets: Targets, streams: RandomStreams
    ) -> tuple[Tensor, Targets]:
        """The batch after the last part."""
        for number, part in enumerate(self.parts):
            images, targets = part(images, targets, streams.stream(f"part {number}"))
        return images, targets


def are_masks(targets: Targets) -> TypeGuard[Tensor]:
    """Whether targets are masks (B, H, W), which move with the images."""
    return targets is not None and targets.dim() == 3


def memory_format(images: Tensor) -> torch.memory_format:
    """The memory format of (B, C, H, W) images."""
    channels_last = images.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format
