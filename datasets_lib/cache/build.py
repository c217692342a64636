"""Fill a folder with the decoded images of a cache entry."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np

from datasets_lib.atomic import sync
from datasets_lib.cache.entry import (
    IMAGES,
    MANIFEST,
    MASKS,
    Contents,
    Manifest,
    open_entry,
    read_manifest,
)
from datasets_lib.images.decode import UInt8, read_file, resize_image, resize_mask, to_mask, to_rgb
from datasets_lib.layouts.category import DatasetError, Sample

Progress = Callable[[int, int], None]
"""Called with images done and images in all."""

Row = tuple[UInt8, UInt8 | None]
"""An image (size, size, 3) and its mask (size, size), if any."""


def build_entry(
    folder: Path,
    make: Callable[[int], Row],
    what: str,
    contents: Contents,
    known: Mapping[str, Row],
    progress: Progress | None,
) -> None:
    """Write images, masks and manifest into a folder and flush them to disk.

    Args:
        folder: An empty folder.
        make: Decodes a row of ``contents.rows``; called from several threads.
        what: Description of the images for people.
        contents: Rows and size of the entry.
        known: Rows that other entries already hold.
        progress: Called in this thread, in order.

    Raises:
        DatasetError: A file cannot be used; the first in order is named.
        OSError: The folder cannot be written.
    """
    with ExitStack() as stack:
        images = _Writer(stack.enter_context((folder / IMAGES).open("wb")), contents.size**2 * 3)
        masks = None
        if contents.has_masks:
            masks = _Writer(stack.enter_context((folder / MASKS).open("wb")), contents.size**2)

        def fill(index: int) -> None:
            row = contents.rows[index]
            image, mask = known.get(row) or make(index)
            images.write(index, image)
            if masks is not None:
                masks.write(
                    index, mask if mask is not None else np.zeros(image.shape[:2], np.uint8)
                )

        _in_threads(fill, len(contents.rows), progress)
    Manifest(what, contents.recipe, contents).write(folder)
    for name in (IMAGES, MASKS, MANIFEST):
        if (folder / name).exists():
            sync(folder / name)
    sync(folder)


def known_rows(entries: Iterable[Path], contents: Contents) -> dict[str, Row]:
    """Return the rows of ``contents`` that finished entries of the same recipe hold."""
    wanted = set(contents.rows)
    known: dict[str, Row] = {}
    for folder in entries:
        manifest = read_manifest(folder)
        if manifest is None or manifest.recipe != contents.recipe:
            continue
        if wanted.isdisjoint(manifest.contents.rows):
            continue
        cached = open_entry(folder, manifest.contents)
        if cached is not None:
            for index, row in enumerate(manifest.contents.rows):
                if row in wanted:
                    masks = cached.masks
                    known[row] = cached.images[index], None if masks is None else masks[index]
    return known


class _Writer:
    """Writer of rows of equal length to their offsets in a file, from any thread."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file = file
        self._length = length
        self._lock = threading.Lock()

    def write(self, index: int, row: UInt8) -> None:
        with self._lock:
            self._file.seek(index * self._length)
            self._file.write(row.data if row.flags.c_contiguous else row.tobytes())


def _in_threads(fill: Callable[[int], None], count: int, progress: Progress | None) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        futures: list[Future[None]] = [pool.submit(fill, index) for index in range(count)]
        try:
            for done, future in enumerate(futures, start=1):
                future.result()
                if progress is not None:
                    progress(done, count)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def decode_row(sample: Sample, row: str, size: int) -> Row:
    """Return a sample's image and mask at a size.

    Args:
        sample: Files to decode.
        row: Sha256 of the files, as in `Contents`.
        size: Height and width in pixels.

    Raises:
        DatasetError: A file cannot be used, or is not what it was when it was hashed.
    """
    image_hash, _, mask_hashes = row.partition(":")
    image = to_rgb(_read(sample.image, image_hash), sample.image)
    mask = None
    if sample.masks:
        parts = zip(sample.masks, mask_hashes.split("+"), strict=True)
        truths = [to_mask(_read(file, digest), file, image.size) for file, digest in parts]
        resized = [resize_mask(truth, size) for truth in truths]
        mask = np.logical_or.reduce(resized).view(np.uint8)
    return resize_image(image, size), mask


def _read(file: Path, expected: str) -> bytes:
    data = read_file(file)
    # Otherwise an entry could hold other pixels than its name says, permanently.
    if hashlib.sha256(data).hexdigest() != expected:
        raise DatasetError(
            f"The file {file} is not what it was when its content was hashed: it was changed "
            "while it was read. Run again once nothing writes to it; if that does not help, "
            "clear the cache with python -m bench cache clean."
        )
    return data


def in_words(samples: Sequence[Sample], size: int) -> str:
    """Return count, folder and size of samples in words."""
    folders = os.path.commonpath([str(sample.image.parent.absolute()) for sample in samples])
    return f"{len(samples)} images of {folders} at {size} px"
