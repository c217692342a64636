"""Images of a classification split at a size, mapped or in memory, and their hash."""

from __future__ import annotations

import hashlib

import numpy as np

from datasets_lib.cache.build import Progress
from datasets_lib.cache.content import ContentHashes, SampleHashes
from datasets_lib.cache.decode_cache import DecodeCache
from datasets_lib.images.decode import UInt8
from datasets_lib.layouts.classification import FileSplit, Labeled


def mapped_images(
    split: Labeled, size: int, cache: DecodeCache, progress: Progress | None = None
) -> UInt8:
    """Return the images of a split, uint8 RGB (N, size, size, 3), without loading files.

    The result is a read-only ``np.memmap`` of the cache's file, which takes no memory until it is
    indexed and whose ``filename`` other processes can map. A `PixelSplit` at its own size is in
    memory already and is returned as it is.

    Args:
        split: Split to read.
        size: Height and width in pixels; the decode cache sets the interpolation.
        cache: Cache of decoded and resized images.
        progress: Callback with the images done so far and their total.

    Raises:
        DatasetError: A file cannot be used, or the cache cannot be written.
    """
    if isinstance(split, FileSplit):
        return cache.get(split.samples, size, progress).images
    if split.images.shape[1:3] == (size, size):
        return split.images
    return cache.resized(split.images, size, f"{len(split.classes)} classes", progress)


def contents(split: Labeled, hashes: ContentHashes) -> SampleHashes:
    """Return a hash of classes, names, labels and images in order, and one of each image file.

    The first is equal on every machine; a `PixelSplit` has none of the others.

    Raises:
        DatasetError: A file cannot be read.
    """
    digest = hashlib.sha256("\n".join((*split.classes, "", *split.names, "")).encode())
    digest.update(np.asarray(split.labels, dtype="<i8").tobytes())
    images: tuple[str, ...] = ()
    if isinstance(split, FileSplit):
        of_files, images = hashes.contents(split.samples)
        digest.update(of_files.encode())
    else:
        digest.update(repr(split.images.shape).encode())
        digest.update(np.ascontiguousarray(split.images).data)
    return SampleHashes(digest.hexdigest(), images)
