"""Adapter that runs a ``torchvision.transforms.v2`` transform as an augmentation."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from datasets_lib.augment.augmentation import (
    Augmentation,
    Sequence,
    Targets,
    are_masks,
    memory_format,
)
from datasets_lib.augment.random_streams import RandomStreams

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class TorchvisionAugmentation:
    """A v2 transform applied image by image, on the device the batch is on.

    torchvision draws its parameters from torch's global generator. That generator is forked and
    seeded from each sample's random stream, so that an image gets the same result in every batch.
    The seeds are read back to the host: on CUDA each batch waits for the device once and cannot be
    recorded in a graph.

    Attributes:
        transform: A v2 transform, or any callable on ``tv_tensors`` that keeps the image's size.
    """

    transform: Callable[..., Any]

    def __call__(
        self, images: Tensor, targets: Targets, streams: RandomStreams
    ) -> tuple[Tensor, Targets]:
        """Transform each image; masks move with their images and labels are unchanged.

        Raises:
            ValueError: The transform changes the shape or the type of the image.
        """
        if len(images) == 0:
            return images, targets
        seeds = streams.fold_in("torchvision").bits().tolist()
        masks = targets.unbind() if are_masks(targets) else [None] * len(images)
        devices = [images.device] if images.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            pairs = [
                self._apply(image, mask, seed)
                for image, mask, seed in zip(images, masks, seeds, strict=True)
            ]
        changed = torch.stack([image for image, _ in pairs])
        if are_masks(targets):
            targets = torch.stack([mask for _, mask in pairs if mask is not None])
        return changed.contiguous(memory_format=memory_format(images)), targets

    def _apply(self, image: Tensor, mask: Tensor | None, seed: int) -> tuple[Tensor, Tensor | None]:
        from torchvision import tv_tensors

        torch.manual_seed(seed)
        if mask is None:
            result = self.transform(tv_tensors.Image(image))
        else:
            # uint8, because interpolation on bool masks is not defined for all transforms.
            result, moved = self.transform(
                tv_tensors.Image(image), tv_tensors.Mask(mask[None].to(torch.uint8))
            )
            mask = moved.as_subclass(Tensor)[0] > 0
        result = result.as_subclass(Tensor)
        if result.shape != image.shape or result.dtype != image.dtype:
            raise ValueError(
                f"The transform {self.transform} returned {tuple(result.shape)} {result.dtype} for "
                f"an image {tuple(image.shape)} {image.dtype}: expected the same shape and type. "
                "Choose a transform that keeps both."
            )
        return result, mask


def waits_for_device(augmentation: Augmentation) -> bool:
    """Return whether an augmentation or a part of it is torchvision's, which no graph records."""
    if isinstance(augmentation, Sequence):
        return any(map(waits_for_device, augmentation.parts))
    return isinstance(augmentation, TorchvisionAugmentation)


def as_augmentation(built: Callable[..., Any]) -> Augmentation:
    """Return an augmentation as it is and wrap any other callable as a torchvision transform.

    Raises:
        TypeError: It takes neither images, targets and streams nor a single image.
    """
    call = getattr(built, "forward", built)  # of a module, whose __call__ takes anything
    parameters = inspect.signature(call).parameters
    if "streams" in parameters:
        return cast("Augmentation", built)
    needed = [p.name for p in parameters.values() if p.default is p.empty and p.kind in _POSITIONAL]
    if len(needed) > 1:
        raise TypeError(
            f"An augmentation takes ({', '.join(needed)}): wanted (images, targets, streams), by "
            "these names, or a torchvision transform of one image. Rename its parameters."
        )
    return TorchvisionAugmentation(built)
