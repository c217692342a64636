"""Images and class labels as a model gets them: uint8 tensors of a whole split."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from datasets_lib.cache import DecodeCache
from datasets_lib.cache_build import Progress
from datasets_lib.classification import FileSplit, Labelled
from datasets_lib.content import ContentHashes
from datasets_lib.decode import UInt8, resize_image
from datasets_lib.image_set import load

if TYPE_CHECKING:
    from torch import Tensor, device

_CHUNK = 256
"""Images that a thread resizes before it reports."""


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """A split, decoded and resized.

    Attributes:
        images: uint8 RGB (N, 3, S, S), channels_last in memory.
        labels: int64 (N,), places in ``classes``.
        classes: Names of the classes.
        names: Names of the images.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def to(self, device: device | str) -> LabelledSet:
        """The same with its tensors on another device."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))


def load_labelled(
    split: Labelled, size: int, cache: DecodeCache, progress: Progress | None = None
) -> LabelledSet:
    """A split in memory; of a `PixelSplit` of this size the pixels are shared, not copied.

    Args:
        split: What to read.
        size: Height and width in pixels; the interpolation is the decode cache's.
        cache: Where decoded files are and go; stored pixels do not need it.
        progress: Called with images done and in all.

    Raises:
        DatasetError: A file cannot be used, or the cache cannot be written.
    """
    import torch

    if isinstance(split, FileSplit):
        images = load(split.samples, size, cache, has_masks=False, progress=progress).images
    else:
        pixels = mapped_images(split, size, cache, progress)
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    labels = torch.from_numpy(np.array(split.labels, dtype=np.int64))
    return LabelledSet(images, labels, split.classes, split.names)


def mapped_images(
    split: Labelled, size: int, cache: DecodeCache, progress: Progress | None = None
) -> UInt8:
    """A split's images, uint8 RGB (N, size, size, 3), without loading what lies in files.

    For a `FileSplit` they are a read-only ``np.memmap`` of the cache's file, which takes no memory
    until it is indexed and whose ``filename`` other processes can map. A `PixelSplit` is in memory
    already; at another size than its own so is the answer.

    Raises:
        DatasetError: A file cannot be used, or the cache cannot be written.
    """
    if isinstance(split, FileSplit):
        return cache.get(split.samples, size, progress).images
    if split.images.shape[1:3] == (size, size):
        return split.images
    return _resized(split.images, size, progress)


def data_hash(split: Labelled, hashes: ContentHashes) -> str:
    """A hash over classes, names, labels and images in their order; the same on every machine.

    Raises:
        DatasetError: A file cannot be read.
    """
    digest = hashlib.sha256("\n".join((*split.classes, "", *split.names, "")).encode())
    digest.update(np.asarray(split.labels, dtype="<i8").tobytes())
    if isinstance(split, FileSplit):
        digest.update(hashes.data_hash(split.samples).encode())
    else:
        digest.update(repr(split.images.shape).encode())
        digest.update(np.ascontiguousarray(split.images).data)
    return digest.hexdigest()


def _resized(images: UInt8, size: int, progress: Progress | None) -> UInt8:
    resized = np.empty((len(images), size, size, 3), np.uint8)

    def fill(start: int) -> int:
        stop = min(start + _CHUNK, len(images))
        for index in range(start, stop):
            resized[index] = resize_image(Image.fromarray(images[index]), size)
        return stop

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in pool.map(fill, range(0, len(images), _CHUNK)):
            if progress is not None:
                progress(done, len(images))
    return resized
