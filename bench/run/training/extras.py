"""What training batches hold along with images: textures and labels."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.run.training.precision import to_float
from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.batches.image_set import ImageSet
from datasets_lib.batches.textures import TextureSource


@dataclass(frozen=True)
class Extras:
    """Fields of training batches that a model's entry asks for.

    Attributes:
        seed: Seed of the random numbers; every image of every step has its own.
        textures: Auxiliary images.
        labeled: Training images with labels and masks, for a supervised model.
    """

    seed: int
    textures: TextureSource | None = None
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
        if self.textures is not None:
            # One stream per position in a step's batch: images recur, their textures do not.
            place = torch.arange(len(images), device=self.textures.images.device)
            streams = RandomStreams(place + step * len(images), self.seed).fold_in("auxiliary")
            sampled = self.textures.sample(streams)
            found["auxiliary"] = to_float(sampled, images.device)
        return found
