"""CutPaste: a patch of the image laid elsewhere on it (Li et al.: CutPaste, CVPR 2021)."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from datasets_lib.augment.color_jitter import ColorJitter
from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.augment.rows import where_masked


@dataclass(frozen=True)
class CutPaste:
    """Pastes one patch into every image.

    Attributes:
        kind: ``patch`` pastes a box of 2 to 15 % of the area, at most 3.3 times as long as wide;
            ``scar`` a thin one of 2 to 16 by 10 to 25 pixels, turned by at most 45 degrees.
        jitter: Changes the patch's colors by factors within 1 ± jitter, and its hue by as much
            of the circle.
        probability: Of an anomaly at all; other images stay, with empty masks.
    """

    kind: Literal["patch", "scar"] = "patch"
    jitter: float = 0.1
    probability: float = 1.0

    def __call__(self, images: Tensor, streams: RandomStreams) -> tuple[Tensor, Tensor]:
        """Images with pasted patches, and where they are.

        Args:
            images: (B, 3, H, W), uint8 or floating point in [0, 1].
            streams: One patch each.

        Returns:
            Images of the same dtype and memory format, and masks, bool (B, H, W).
        """
        size = images.shape[2:]
        sides, angle = self._box(streams, size)
        offset_y, from_y = _places(streams.stream("y"), sides[:, 0], size[0])
        offset_x, from_x = _places(streams.stream("x"), sides[:, 1], size[1])
        y = torch.arange(size[0], device=images.device)[None, :, None] - offset_y
        x = torch.arange(size[1], device=images.device)[None, None, :] - offset_x
        cos, sin = (part[:, None, None] for part in (angle.cos(), angle.sin()))
        along, across = cos * y - sin * x, sin * y + cos * x  # in the patch's own frame
        half = (sides / 2)[:, :, None, None]
        masks = (along.abs() < half[:, 0]) & (across.abs() < half[:, 1])
        masks &= streams.stream("present").bernoulli(self.probability)[:, None, None]
        source_y = (along + from_y).round_().long().clamp_(0, size[0] - 1)
        source_x = (across + from_x).round_().long().clamp_(0, size[1] - 1)
        source = (source_y * size[1] + source_x).flatten(1)[:, None]
        patch, _ = ColorJitter(*[self.jitter] * 4)(images, None, streams.stream("jitter"))
        moved = patch.flatten(2).gather(2, source.expand(-1, images.shape[1], -1))
        return where_masked(masks, moved.view(images.shape), images), masks

    def _box(self, streams: RandomStreams, size: torch.Size) -> tuple[Tensor, Tensor]:
        """(B, 2) height and width in whole pixels, and (B,) angle in radians."""
        if self.kind == "scar":
            long = streams.stream("length").integers(16) + 10
            thin = streams.stream("width").integers(15) + 2
            angle = streams.stream("angle").uniform(low=-math.pi / 4, high=math.pi / 4)
            sides = torch.stack((long, thin), dim=1)
        else:
            area = streams.stream("area").uniform(low=0.02, high=0.15) * size[0] * size[1]
            long = streams.stream("aspect").uniform(low=1.0, high=3.3)
            aspect = torch.where(streams.stream("upright").bernoulli(0.5), long, 1 / long)
            angle = torch.zeros_like(area)
            sides = torch.stack(((area * aspect).sqrt(), (area / aspect).sqrt()), dim=1)
        height, width = sides.float().round().unbind(1)
        clamped = height.clamp(1, size[0]), width.clamp(1, size[1])
        return torch.stack(clamped, dim=1), angle


def _places(streams: RandomStreams, side: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """(B, 1, 1) centers of the box pasted and of the box cut, each wholly inside the image."""
    room = length - side + 1
    centers = [
        (streams.stream(name).uniform() * room).floor() + (side - 1) / 2 for name in ("to", "from")
    ]
    return centers[0][:, None, None], centers[1][:, None, None]
