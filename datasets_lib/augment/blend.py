"""DRAEM's synthetic anomalies: textures blended into images under Perlin masks."""

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from datasets_lib.augment.augmentation import Augmentation, Identity
from datasets_lib.augment.perlin import perlin_masks
from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.augment.rows import where_masked


class Textures(Protocol):
    """A source of foreign textures, such as `datasets_lib.batches.textures.TextureSource`."""

    def sample(self, streams: RandomStreams) -> Tensor:
        """Return one texture per sample, uint8 (B, 3, S, S)."""


@dataclass(frozen=True)
class TextureBlend:
    """I (1 − m) + m ((1 − β) T + β I), with a Perlin mask m and a texture T.

    Zavrtanik, Kristan, Skočaj: DRAEM, ICCV 2021, section 3.2.

    Attributes:
        textures: Source of T.
        threshold: Threshold of the Perlin noise.
        opacity: Bounds of β, drawn uniformly.
        probability: Probability of an anomaly; other images stay, with empty masks.
        change: Augmentation of the textures before they are blended; DRAEM uses three operations
            of RandAugment.
    """

    textures: Textures
    threshold: float = 0.5
    opacity: tuple[float, float] = (0.1, 0.8)
    probability: float = 0.5
    change: Augmentation = field(default_factory=Identity)

    def __call__(self, images: Tensor, streams: RandomStreams) -> tuple[Tensor, Tensor]:
        """Return images with anomalies, and the masks of the anomalies.

        Args:
            images: (B, 3, S, S), uint8 or floating point in [0, 1].
            streams: Random numbers, one anomaly per sample.

        Returns:
            Images of the same dtype and memory format, and masks, bool (B, S, S). A mask may be
            empty where no noise exceeds the threshold.

        Raises:
            ValueError: The textures and the images differ in size.
        """
        masks = perlin_masks(len(images), images.shape[-1], streams.fold_in("mask"), self.threshold)
        masks &= streams.fold_in("present").bernoulli(self.probability)[:, None, None]
        texture = self.textures.sample(streams.fold_in("texture"))
        if texture.shape != images.shape:
            raise ValueError(
                f"Textures must be as large as the images, {tuple(images.shape)}, found "
                f"{tuple(texture.shape)}. Load the texture source at the images' size."
            )
        texture, _ = self.change(texture, None, streams.fold_in("change"))
        beta = streams.fold_in("opacity").uniform(low=self.opacity[0], high=self.opacity[1])
        is_uint8 = images.dtype == torch.uint8
        top = texture.float() if is_uint8 else texture.to(images.dtype) / 255
        # (1 − β) T + β I: the opacity is that of the image below.
        blended = torch.lerp(top, images.to(top.dtype), beta[:, None, None, None].to(top.dtype))
        if is_uint8:
            blended = blended.round_().to(torch.uint8)
        return where_masked(masks, blended, images), masks
