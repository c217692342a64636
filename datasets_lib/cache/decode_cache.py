"""The decode cache: images of one size, decoded once, shared by all cases and processes.

An entry is a folder named by the hash of what it holds (contents in order, size, interpolation,
decoder), so identical images of two datasets share it and a changed file gets a new one. It is
built next to its final place under a lock and renamed when done: one with its final name is
complete.
"""

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from PIL import Image

from datasets_lib.cache.build import (
    MANIFEST,
    CachedImages,
    Contents,
    Progress,
    Row,
    build_entry,
    contents_of,
    contents_of_pixels,
    decode_row,
    describe,
    known_rows,
    open_entry,
    read_manifest,
)
from datasets_lib.cache.content import ContentHashes
from datasets_lib.images.decode import UInt8, resize_image
from datasets_lib.images.geometry import Size, as_geometry
from datasets_lib.layouts.category import DatasetError, Sample
from datasets_lib.paths import folder_bytes


@dataclass(frozen=True)
class CacheEntry:
    """Description of one entry by `DecodeCache.info`.

    Attributes:
        what: Count, folder and size of its images.
        bytes: Size on disk.
        last_used: Seconds since the epoch.
    """

    what: str
    bytes: int
    last_used: float


class DecodeCache:
    """Decoded and resized images below a folder.

    Args:
        root: Folder of the cache; created when needed.
        bits: Number of bits that a camera fills in 16-bit files.

    Attributes:
        content: Remembered hashes of files, in the same cache.
    """

    def __init__(self, root: Path, bits: int = 16) -> None:
        self.content = ContentHashes(root / "hashes")
        self._bits = bits
        self._root = root
        self._decoded = root / "decoded"
        self._locks = root / "locks"

    def get(
        self, samples: Sequence[Sample], size: Size, progress: Progress | None = None
    ) -> CachedImages:
        """Return the samples' images and masks, decoding what no entry holds.

        Rows in other entries of this size are copied, the rest is decoded by a pool of threads.
        If several processes want the same entry, one builds it and the others wait.

        Raises:
            DatasetError: A file cannot be used, or the cache cannot be written.
        """
        if not samples:
            return CachedImages(np.empty((0, *as_geometry(size).size, 3), np.uint8), None)
        contents = contents_of(samples, size, self.content, self._bits)

        def make(index: int) -> Row:
            return decode_row(samples[index], contents.rows[index], size, self._bits)

        return self._get(contents, make, lambda: describe(samples, size), progress)

    def resized(
        self, images: UInt8, size: Size, what: str, progress: Progress | None = None
    ) -> UInt8:
        """Return decoded images at another size: resized once, then mapped from a file.

        Args:
            images: uint8 RGB (N, H, W, 3).
            size: Size of the frames.
            what: Description of the images for people.
            progress: Called with images done and images in total.

        Raises:
            DatasetError: The cache cannot be written.
        """
        contents = contents_of_pixels(images, size)

        def make(index: int) -> Row:
            return resize_image(Image.fromarray(images[index]), size), None

        words = f"{len(images)} images of {what} at {size} px"
        return self._get(contents, make, lambda: words, progress).images

    def _get(
        self,
        contents: Contents,
        make: Callable[[int], Row],
        words: Callable[[], str],
        progress: Progress | None,
    ) -> CachedImages:
        folder = self._decoded / contents.key
        cached = open_entry(folder, contents)
        if cached is None:
            with self._explaining_failure(contents):
                cached = self._build(folder, make, words(), contents, progress)
        # The time of last use; cannot be recorded in a read-only cache.
        with suppress(OSError):
            os.utime(folder / MANIFEST)
        return cached

    def info(self) -> list[CacheEntry]:
        """Return the finished entries, least recently used first."""
        entries = [
            CacheEntry(manifest.what, folder_bytes(folder), _last_used(folder))
            for folder in self._finished()
            if (manifest := read_manifest(folder)) is not None
        ]
        return sorted(entries, key=lambda entry: (entry.last_used, entry.what))

    def others(self) -> list[tuple[str, int]]:
        """Return name and bytes of what `clean` removes besides entries if it is given no days."""
        folders = {"generated sets": "generated", "hashes of files": "hashes"}
        sizes = [(what, folder_bytes(self._root / name)) for what, name in folders.items()]
        return [(what, size) for what, size in sizes if size]

    def clean(self, older_than_days: float | None = None) -> int:
        """Remove entries unused for a number of days, or everything including generated sets.

        Leftovers of killed builds are removed too; entries being built by others are kept.

        Returns:
            The bytes freed.
        """
        freed = self._remove_abandoned()
        before = time.time() - 86400 * (older_than_days or 0)
        for folder in self._finished():
            if older_than_days is None or _last_used(folder) < before:
                freed += self._remove_entry(folder)
        if older_than_days is None:
            freed += _remove(self._root / "hashes") + _remove(self._root / "generated")
        return freed

    def _build(
        self,
        folder: Path,
        make: Callable[[int], Row],
        what: str,
        contents: Contents,
        progress: Progress | None,
    ) -> CachedImages:
        self._decoded.mkdir(parents=True, exist_ok=True)
        self._remove_abandoned()
        with self._lock(folder.name):
            if (built_meanwhile := open_entry(folder, contents)) is not None:
                return built_meanwhile
            _remove_atomically(folder)
            self._check_space(contents)
            building = _hidden(folder)
            building.mkdir()
            try:
                known = known_rows(self._finished(), contents)
                build_entry(building, make, what, contents, known, progress)
                building.rename(folder)
            except BaseException:
                _remove(building)
                raise
            cached = open_entry(folder, contents)
            if cached is None:
                raise OSError("what was written cannot be read back completely")
            return cached

    def _check_space(self, contents: Contents) -> None:
        if shutil.disk_usage(self._decoded).free < contents.bytes:
            raise OSError("the disk does not have enough space")

    @contextmanager
    def _explaining_failure(self, contents: Contents) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            existing = next(p for p in (self._root, *self._root.parents) if p.exists())
            raise DatasetError(
                f"The decode cache {self._root} cannot be written: {error.strerror or error}. "
                f"Wanted {contents.bytes:,} bytes for {len(contents.rows)} images at "
                f"{contents.size} px; {shutil.disk_usage(existing).free:,} bytes are free there. "
                "Name another folder with --cache-dir, or make room with "
                "python -m bench cache clean."
            ) from error

    def _lock(self, key: str, timeout: float = -1) -> FileLock:
        self._locks.mkdir(parents=True, exist_ok=True)
        return FileLock(self._locks / f"{key}.lock", timeout=timeout)

    def _finished(self) -> list[Path]:
        return sorted(path for path in _listed(self._decoded) if not path.name.startswith("."))

    def _remove_abandoned(self) -> int:
        """Remove leftovers of killed builds, recognized by their free lock."""
        freed = 0
        for path in _listed(self._decoded):
            if path.name.startswith("."):
                key = path.name[1:].partition(".")[0]
                with suppress(Timeout), self._lock(key, timeout=0):
                    freed += _remove(path)
        return freed

    def _remove_entry(self, folder: Path) -> int:
        with suppress(Timeout), self._lock(folder.name, timeout=0):
            return _remove_atomically(folder)
        return 0


def _hidden(folder: Path) -> Path:
    """Return a new hidden name next to an entry, which contains the entry's own."""
    return folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")


def _listed(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _remove_atomically(folder: Path) -> int:
    """Rename an entry before deleting it: half an entry must never have its name."""
    if not folder.exists():
        return 0
    hidden = _hidden(folder)
    folder.rename(hidden)
    return _remove(hidden)


def _remove(folder: Path) -> int:
    freed = folder_bytes(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return freed


def _last_used(folder: Path) -> float:
    """Return seconds since the epoch; 0 for an entry without a manifest."""
    with suppress(FileNotFoundError):
        return (folder / MANIFEST).stat().st_mtime
    return 0.0
