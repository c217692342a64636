"""Random resized crops: a random part of each image, stretched to the whole."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from datasets_lib.augment.augmentation import Targets, are_masks
from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.augment.warp import warp


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
        share = streams.stream("area").uniform(low=self.area[0], high=self.area[1])
        low, high = (math.log(bound) for bound in self.aspect)
        aspect = streams.stream("aspect").uniform(low=low, high=high).exp()
        across = (share * aspect).sqrt().clamp_max(1)  # of the image's own width and height
        down = (share / aspect).sqrt().clamp_max(1)
        place = streams.stream("place").uniform(2, low=-0.5, high=0.5)
        mirror = 1 - 2 * streams.stream("flip").bernoulli(self.flip).float()
        zero = torch.zeros_like(across)
        to_x = (across * mirror, zero, place[:, 0] * (1 - across) * width)
        to_y = (zero, down, place[:, 1] * (1 - down) * height)
        return torch.stack((*to_x, *to_y), dim=1).view(-1, 2, 3)
