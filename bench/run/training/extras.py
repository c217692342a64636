"""What training batches hold along with images: textures, synthetic defects and labels."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.run.training.precision import to_float
from datasets_lib.augment.blend import TextureBlend
from datasets_lib.augment.perlin import perlin_masks
from datasets_lib.augment.rand_augment import RandAugment
from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.batches.image_set import ImageSet
from datasets_lib.batches.textures import TextureSource
from models.catalog.entry import SyntheticDefects

_TEXTURE_OPERATIONS = 3  # of RandAugment on every texture, as in DRAEM's code


@dataclass(frozen=True)
class Extras:
    """Fields of training batches that a model's entry asks for.

    Attributes:
        seed: Seed of the random numbers; every image of every step has its own.
        textures: Auxiliary images.
        synthetic: Synthetic defects to draw.
        labeled: Training images with labels and masks, for a supervised model.
    """

    seed: int
    textures: TextureSource | None = None
    synthetic: SyntheticDefects | None = None
    labeled: ImageSet | None = None

    def masks(self, index: Tensor) -> Tensor | None:
        """Return the defect masks ``(B, H, W)`` of training images, where there are some."""
        if self.labeled is None or self.labeled.masks is None:
            return None
        return self.labeled.masks[index.to(self.labeled.masks.device)]

    def fields(self, images: Tensor, index: Tensor, step: int) -> dict[str, Any]:
        """Return the fields of a batch, on the device of its images.

        Args:
            images: ``(B, 3, S, S)`` floats in [0, 1], after augmentation.
            index: ``(B,)`` rows of the images in the training set.
            step: Number of the step.
        """
        found: dict[str, Any] = {}
        if self.labeled is not None:
            labels = self.labeled.labels
            found["targets"] = labels[index.to(labels.device)].to(images.device)
        if self.synthetic is not None:
            return found | self._synthetic(self.synthetic, images, step)
        if self.textures is not None:
            streams = self._streams(len(images), self.textures.images.device, step)
            sampled = self.textures.sample(streams.fold_in("auxiliary"))
            found["auxiliary"] = to_float(sampled, images.device)
        return found

    def _synthetic(self, spec: SyntheticDefects, images: Tensor, step: int) -> dict[str, Tensor]:
        streams = self._streams(len(images), images.device, step).fold_in("synthetic")
        if spec.textures:
            assert self.textures is not None
            blend = TextureBlend(
                self.textures,
                spec.threshold,
                spec.opacity,
                spec.probability,
                RandAugment(_TEXTURE_OPERATIONS),
            )
            blended, masks = blend(images, streams)
            return {"synthetic": blended, "synthetic_masks": masks}
        side = images.shape[-1]
        masks = perlin_masks(len(images), side, streams.fold_in("mask"), spec.threshold)
        present = streams.fold_in("present").bernoulli(spec.probability)
        return {"synthetic_masks": masks & present[:, None, None]}

    def _streams(self, count: int, device: torch.device, step: int) -> RandomStreams:
        """Return one stream per place in a step's batch: images recur, defects do not."""
        return RandomStreams(torch.arange(count, device=device) + step * count, self.seed)
