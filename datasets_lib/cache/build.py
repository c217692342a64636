"""An entry of the decode cache: its contents, its files, and how they are built."""

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL

from datasets_lib.atomic import sync
from datasets_lib.cache.content import ContentHashes
from datasets_lib.images.decode import (
    INTERPOLATION,
    UInt8,
    read_file,
    resize_image,
    resize_mask,
    to_mask,
    to_rgb,
)
from datasets_lib.images.geometry import Geometry, Size, as_geometry
from datasets_lib.layouts.category import DatasetError, Sample

Progress = Callable[[int, int], None]
"""Called with images done and images in total."""

Row = tuple[UInt8, UInt8 | None]
"""An image (H, W, 3) and its mask (H, W), if any."""

FORMAT = 2
"""Version of an entry's files; changes with their format or any pixel in them."""

IMAGES, MASKS, MANIFEST = "images.u8", "masks.u8", "entry.json"


@dataclass(frozen=True)
class CachedImages:
    """Decoded images, read-only and mapped from the cache's files.

    Attributes:
        images: uint8 RGB (N, H, W, 3).
        masks: uint8 (N, H, W), 1 on defects; None if no sample has a mask.
    """

    images: UInt8
    masks: UInt8 | None


@dataclass(frozen=True)
class Contents:
    """Contents of an entry.

    Attributes:
        rows: Sha256 of each image and of its masks, ``image:mask+mask``, in order; nothing after
            the colon if there is no mask.
        size: Size of the frames and how images are fitted into them.
        bits: Number of bits that a camera fills in 16-bit files.
    """

    rows: tuple[str, ...]
    size: Geometry
    bits: int = 16

    @property
    def recipe(self) -> str:
        """How files become pixels; JPEG decoding depends on Pillow's version."""
        return (
            f"format {FORMAT}; {INTERPOLATION}; {self.size} px; {self.bits} bits; "
            f"Pillow {PIL.__version__}"
        )

    @property
    def key(self) -> str:
        """Name of the entry's folder."""
        text = "\n".join((self.recipe, *self.rows))
        return hashlib.sha256(text.encode()).hexdigest()[:40]

    @property
    def has_masks(self) -> bool:
        """Whether any row has a mask."""
        return any(not row.endswith(":") for row in self.rows)

    @property
    def image_shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, 3)."""
        return len(self.rows), *self.size.size, 3

    @property
    def pixels(self) -> int:
        """Number of pixels of an image."""
        return self.size.height * self.size.width

    @property
    def bytes(self) -> int:
        """Size of the entry's pixels on disk."""
        return len(self.rows) * self.pixels * (4 if self.has_masks else 3)  # RGB, a byte of mask


def contents_of(
    samples: Sequence[Sample], size: Size, hashes: ContentHashes, bits: int = 16
) -> Contents:
    """Return the contents of an entry for these samples."""
    files = [file for sample in samples for file in sample.files]
    of_file = hashes.of(files)
    rows = (f"{of_file[s.image]}:{'+'.join(of_file[mask] for mask in s.masks)}" for s in samples)
    return Contents(tuple(rows), as_geometry(size), bits)


def contents_of_pixels(images: UInt8, size: Size) -> Contents:
    """Return the contents of an entry for images that are already decoded."""
    native = "×".join(map(str, images.shape[1:3]))
    digests = (hashlib.sha256(image.tobytes()).hexdigest() for image in images)
    return Contents(tuple(f"{native} {digest}:" for digest in digests), as_geometry(size))


@dataclass(frozen=True)
class Manifest:
    """Description stored with an entry.

    Attributes:
        what: Description of its images for people.
        recipe: `Contents.recipe` it was built with.
        contents: Contents of the entry.
    """

    what: str
    recipe: str
    contents: Contents

    def write(self, folder: Path) -> None:
        """Write the manifest into an entry's folder."""
        about = {"what": self.what, "recipe": self.recipe}
        data = about | vars(self.contents) | {"size": str(self.contents.size)}
        (folder / MANIFEST).write_text(json.dumps(data), encoding="ascii")


def read_manifest(folder: Path) -> Manifest | None:
    """Return an entry's manifest; None if it is missing or damaged."""
    try:
        data = json.loads((folder / MANIFEST).read_bytes())
        size = Geometry.parse(str(data["size"]))
        contents = Contents(tuple(data["rows"]), size, int(data["bits"]))
        return Manifest(str(data["what"]), str(data["recipe"]), contents)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def open_entry(folder: Path, contents: Contents) -> CachedImages | None:
    """Return an entry's images; None if it is missing, damaged or of another recipe."""
    manifest = read_manifest(folder)
    if manifest is None or manifest.contents != contents or manifest.recipe != contents.recipe:
        return None
    images = _map(folder / IMAGES, contents.image_shape)
    masks = _map(folder / MASKS, contents.image_shape[:3]) if contents.has_masks else None
    if images is None or (contents.has_masks and masks is None):
        return None
    return CachedImages(images, masks)


def _map(file: Path, shape: tuple[int, ...]) -> UInt8 | None:
    try:
        if file.stat().st_size != np.prod(shape):
            return None
        return np.memmap(file, np.uint8, "r", shape=shape)
    except OSError:
        return None


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
        images = _Writer(stack.enter_context((folder / IMAGES).open("wb")), contents.pixels * 3)
        masks = None
        if contents.has_masks:
            masks = _Writer(stack.enter_context((folder / MASKS).open("wb")), contents.pixels)

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
    """Writes rows of equal length to their offsets in a file, from any thread."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self._file = file
        self._length = length
        self._lock = threading.Lock()

    def write(self, index: int, row: UInt8) -> None:
        with self._lock:
            # Threads finish in any order: each row has its fixed place.
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


def decode_row(sample: Sample, row: str, size: Size, bits: int = 16) -> Row:
    """Return a sample's image and mask at a size.

    Args:
        sample: Files to decode.
        row: Sha256 of the files, as in `Contents`.
        size: Size of the frame.
        bits: Number of bits that a camera fills in 16-bit files.

    Raises:
        DatasetError: A file cannot be used, or has changed since it was hashed.
    """
    image_hash, _, mask_hashes = row.partition(":")
    image = to_rgb(_read(sample.image, image_hash), sample.image, bits)
    mask = None
    if sample.masks:
        parts = zip(sample.masks, mask_hashes.split("+"), strict=True)
        truths = [to_mask(_read(file, digest), file, image.size) for file, digest in parts]
        resized = [resize_mask(truth, size) for truth in truths]
        mask = np.logical_or.reduce(resized).view(np.uint8)
    return resize_image(image, size), mask


def _read(file: Path, expected: str) -> bytes:
    data = read_file(file)
    # Otherwise an entry could permanently hold other pixels than its name says.
    if hashlib.sha256(data).hexdigest() != expected:
        raise DatasetError(
            f"The file {file} is not what it was when its content was hashed: it was changed "
            "while it was being read. Run again once nothing writes to it; if that does not help, "
            "clear the cache with python -m bench cache clean."
        )
    return data


def describe(samples: Sequence[Sample], size: Size) -> str:
    """Return the number, folder and size of samples, for people."""
    folders = os.path.commonpath([str(sample.image.parent.absolute()) for sample in samples])
    return f"{len(samples)} images of {folders} at {size} px"
