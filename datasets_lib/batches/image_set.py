"""A whole split as uint8 tensors, ready to move to the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from datasets_lib.cache.build import Progress
from datasets_lib.cache.decode_cache import DecodeCache
from datasets_lib.images.decode import UInt8
from datasets_lib.images.geometry import Size, as_geometry
from datasets_lib.layouts.category import DatasetError, Sample

if TYPE_CHECKING:
    from torch import Tensor, device


@dataclass(frozen=True, eq=False)
class ImageSet:
    """A split, decoded and resized.

    Attributes:
        images: uint8 RGB (N, 3, H, W), channels_last in memory.
        labels: bool (N,), True for defects.
        masks: bool (N, H, W), True on defects; None for a set without masks.
        names: Sample names.
        defects: Kinds of defect; None for normal images.
    """

    images: Tensor
    labels: Tensor
    masks: Tensor | None
    names: tuple[str, ...]
    defects: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.names)

    def cropped(self, height: int, width: int) -> ImageSet:
        """Crop the center of every image and mask; labels are unchanged.

        Args:
            height: Height of the crop in pixels.
            width: Width of the crop in pixels.
        """
        crop, size = (height, width), tuple(self.images.shape[-2:])
        top, left = ((side - part) // 2 for side, part in zip(size, crop, strict=True))
        if top < 0 or left < 0:
            raise ValueError(
                f"A center crop of {crop[0]}×{crop[1]} px needs images of at least that size, "
                f"found {size[0]}×{size[1]} px. Choose a smaller crop or load larger images."
            )
        rows, columns = slice(top, top + crop[0]), slice(left, left + crop[1])
        # Contiguous as (B, H, W, C), so that the view as (B, C, H, W) is channels-last.
        pixels = self.images.permute(0, 2, 3, 1)[:, rows, columns].contiguous()
        masks = None if self.masks is None else self.masks[:, rows, columns].contiguous()
        return replace(self, images=pixels.permute(0, 3, 1, 2), masks=masks)

    def rows(self, index: Sequence[int]) -> ImageSet:
        """Return the samples with these indices."""
        return ImageSet(
            images=self.images[list(index)],
            labels=self.labels[list(index)],
            masks=None if self.masks is None else self.masks[list(index)],
            names=tuple(self.names[i] for i in index),
            defects=tuple(self.defects[i] for i in index),
        )

    def to(self, device: device | str) -> ImageSet:
        """Return a copy with the tensors on another device."""
        masks = None if self.masks is None else self.masks.to(device)
        return replace(
            self, images=self.images.to(device), labels=self.labels.to(device), masks=masks
        )


def load(
    samples: Sequence[Sample],
    size: Size,
    cache: DecodeCache,
    has_masks: bool,
    progress: Progress | None = None,
) -> ImageSet:
    """Load samples through the decode cache; memory for the uint8 images is allocated once.

    Args:
        samples: Samples to load; may be empty.
        size: Side in pixels, or height, width and how images are fitted into it.
        cache: Cache of decoded images.
        has_masks: Whether the category has masks; normal images then get empty masks.
        progress: Callback with the images decoded so far and their total.

    Raises:
        DatasetError: A file cannot be used, or the cache cannot be written.
    """
    import torch

    cached = cache.get(samples, size, progress)
    images = torch.from_numpy(_read(cached.images)).permute(0, 3, 1, 2)
    masks = None
    if has_masks and cached.masks is not None:
        # Cached masks hold 0 and 1: a view as bool copies nothing.
        masks = torch.from_numpy(_read(cached.masks).view(np.bool_))
    elif has_masks:
        masks = torch.zeros((len(samples), *as_geometry(size).size), dtype=torch.bool)
    return ImageSet(
        images=images,
        labels=torch.tensor([sample.defect is not None for sample in samples], dtype=torch.bool),
        masks=masks,
        names=tuple(sample.name for sample in samples),
        defects=tuple(sample.defect for sample in samples),
    )


def _read(mapped: UInt8) -> UInt8:
    """Read the mapped file; a copy of the map would count its pages as this process's too."""
    if not isinstance(mapped, np.memmap) or mapped.filename is None:
        return mapped
    try:
        return np.fromfile(mapped.filename, np.uint8).reshape(mapped.shape)
    except OSError as error:
        raise DatasetError(
            f"The cached images {mapped.filename} are gone: {error.strerror}. The cache was "
            "cleaned while a case was starting; run it again."
        ) from error
