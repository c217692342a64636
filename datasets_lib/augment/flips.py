"""Flips and small shifts, which move pixels without changing their values."""

from dataclasses import dataclass

from torch import Tensor

from datasets_lib.augment.augmentation import Targets, are_masks
from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.augment.rows import cut_windows


@dataclass(frozen=True)
class FlipCrop:
    """Left-right flips of half of the images, then zero padding and a random crop.

    The standard augmentation of CIFAR (Lee et al.: Deeply-supervised nets, AISTATS 2015; He et al.,
    CVPR 2016, section 4.2).

    Attributes:
        pad: Padding on every side in pixels; offsets are uniform in [0, 2 pad].
    """

    pad: int = 4

    def __call__(
        self, images: Tensor, targets: Targets, streams: RandomStreams
    ) -> tuple[Tensor, Targets]:
        """Return the cropped batch; masks are cropped at the same places."""
        mirrored = streams.fold_in("mirror").bernoulli(0.5)
        offsets = streams.fold_in("offset").integers(2 * self.pad + 1, 2)

        def cut(images: Tensor) -> Tensor:
            top, left = offsets[:, 0], offsets[:, 1]
            return cut_windows(images, mirrored, top=top, left=left, pad=self.pad)

        return cut(images), cut(targets) if are_masks(targets) else targets


@dataclass(frozen=True)
class Flips:
    """Left-right and top-bottom flips, each with its own probability.

    Attributes:
        horizontal: Probability of a left-right flip.
        vertical: Probability of a top-bottom flip.
    """

    horizontal: float = 0.5
    vertical: float = 0.5

    def __call__(
        self, images: Tensor, targets: Targets, streams: RandomStreams
    ) -> tuple[Tensor, Targets]:
        """Return the flipped batch; masks flip with their images."""
        mirrored = streams.fold_in("horizontal").bernoulli(self.horizontal)
        upside_down = streams.fold_in("vertical").bernoulli(self.vertical)
        if are_masks(targets):
            targets = cut_windows(targets, mirrored, upside_down)
        return cut_windows(images, mirrored, upside_down), targets
