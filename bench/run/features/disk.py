"""Features on disk, which outlive the session; the least recently used are evicted first.

An entry is a file of raw numbers and a JSON file, which is written last: without its JSON file an
entry is unfinished and does not count.
"""

import json
import mmap
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from datasets_lib.atomic import atomic_path

DEFAULT_LIMIT = 10_000_000_000
_SHARE_OF_FREE_DISK = 0.2
_CHUNK = 1 << 26
_PROBE = 1 << 23
_STALE_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Entry:
    """Features of one layer of one split.

    Attributes:
        path: File of raw little-endian float32.
        shape: ``(N, h, w, C)``.
        seconds: Duration of computing them, from the images to this layer.
    """

    path: Path
    shape: tuple[int, ...]
    seconds: float

    def mapped(self) -> Tensor | None:
        """Return the features as a view of the file; None if reading is slower than computing.

        A file in the page cache is not copied: mapping 0.5 GB takes milliseconds, a copy takes a
        second.
        """
        # Copy on write, because torch warns about read-only arrays; nothing writes here.
        view = np.memmap(self.path, np.float32, mode="c", shape=self.shape)
        raw = view.reshape(-1)
        probe = raw[: min(len(raw), _PROBE)]
        begin = time.perf_counter()
        float(probe[:: mmap.PAGESIZE // 4].sum())
        expected = (time.perf_counter() - begin) * len(raw) / len(probe)
        return torch.from_numpy(view) if expected < self.seconds else None


class FeatureDisk:
    """A folder of entries with a size limit.

    Args:
        folder: Folder of the entries.
        limit: Maximum size in bytes; None means 10 GB, or a fifth of the free disk if that is less.
    """

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self._folder, self._limit = folder, limit

    def find(self, key: str) -> Entry | None:
        """Return the entry of a key and mark it as used; None if it is missing or incomplete."""
        path, facts = self._paths(key)
        try:
            fields: dict[str, Any] = json.loads(facts.read_text(encoding="ascii"))
            entry = Entry(path, tuple(fields["shape"]), float(fields["seconds"]))
            whole = path.stat().st_size == 4 * int(np.prod(entry.shape))
            os.utime(facts)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return entry if whole else None

    def write(self, key: str, features: Tensor, seconds: float) -> bool:
        """Write features unless they exceed the limit or writing is slower than computing.

        A full disk or an unwritable folder costs the entry, never the case.

        Returns:
            Whether the entry was written.
        """
        path, facts = self._paths(key)
        text = json.dumps({"shape": list(features.shape), "seconds": seconds})
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not self._evict(features.nbytes):
                return False
            # The inner file is renamed first: facts never appear before their numbers.
            with atomic_path(facts) as facts_file, atomic_path(path) as numbers:
                _write(numbers, features, seconds)
                facts_file.write_text(text, encoding="ascii")
        except OSError:
            return False
        return True

    def entries(self) -> list[tuple[str, int, float]]:
        """Return description, size in bytes and time of last use of each entry."""
        listed = []
        for facts in sorted(self._folder.glob("*.json")):
            with suppress(OSError, ValueError, KeyError, TypeError):
                shape = json.loads(facts.read_text(encoding="ascii"))["shape"]
                size = facts.with_suffix(".features").stat().st_size
                what = f"features {' × '.join(map(str, shape))}"
                listed.append((what, size, facts.stat().st_mtime))
        return listed

    def clean(self, older_than_days: float | None = None) -> int:
        """Remove entries, optionally only those unused for some days; return the bytes freed."""
        before = self._used()
        latest = time.time() - 24 * 3600 * (older_than_days or 0)
        for facts in self._folder.glob("*.json"):
            if older_than_days is None or facts.stat().st_mtime < latest:
                facts.unlink(missing_ok=True)
                facts.with_suffix(".features").unlink(missing_ok=True)
        return before - self._used()

    def capacity(self) -> int:
        """Return the limit in bytes."""
        if self._limit is not None:
            return self._limit
        place = next(folder for folder in (self._folder, *self._folder.parents) if folder.is_dir())
        free = shutil.disk_usage(place).free + self._used()
        return min(DEFAULT_LIMIT, int(_SHARE_OF_FREE_DISK * free))

    def has_capacity(self, size: int) -> bool:
        """Return whether the limit admits an entry of this size in bytes, once others are evicted.

        False for a folder that cannot be read.
        """
        try:
            return size <= self.capacity()
        except OSError:
            return False

    def _paths(self, key: str) -> tuple[Path, Path]:
        return self._folder / f"{key}.features", self._folder / f"{key}.json"

    def _used(self) -> int:
        return sum(path.stat().st_size for path in self._folder.glob("*.features"))

    def _evict(self, wanted: int) -> bool:
        """Evict the least recently used entries until ``wanted`` bytes fit; return if they do."""
        limit = self.capacity()
        if wanted > limit:
            return False
        with FileLock(self._folder / ".lock"):
            self._clear_unfinished()
            used = self._used()
            for facts in sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime):
                if used + wanted <= limit:
                    break
                file = facts.with_suffix(".features")
                used -= file.stat().st_size if file.exists() else 0
                facts.unlink()
                file.unlink(missing_ok=True)
        return True

    def _clear_unfinished(self) -> None:
        """Remove what killed processes left; recent files may still be growing elsewhere."""
        for leftover in self._folder.glob(".*.tmp"):
            with suppress(FileNotFoundError):
                if time.time() - leftover.stat().st_mtime > _STALE_SECONDS:
                    leftover.unlink()
        for file in self._folder.glob("*.features"):
            if not file.with_suffix(".json").exists():
                file.unlink(missing_ok=True)


def _write(path: Path, features: Tensor, seconds: float) -> None:
    """Write raw numbers; raise TimeoutError as soon as that is slower than computing them."""
    raw = features.numpy().reshape(-1).view(np.uint8).data
    begin = time.perf_counter()
    with path.open("wb") as file:
        for start in range(0, len(raw), _CHUNK):
            chunk = raw[start : start + _CHUNK]
            file.write(chunk)
            # Compares (elapsed / bytes written) * all bytes to the budget, without a division.
            if (time.perf_counter() - begin) * len(raw) > seconds * (start + len(chunk)):
                raise TimeoutError("writing takes longer than computing")
