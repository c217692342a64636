"""Sha256 of files, remembered so that a repeated look-up takes one stat per file.

The cache holds one memo file per folder of images. Concurrent writers replace it whole, so at worst
a remembered hash is lost and computed again.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from datasets_lib.atomic import atomic_path
from datasets_lib.layouts.category import DatasetError, Sample

Identity = list[int]
"""Size, mtime_ns, ctime_ns and inode: what changes when a file's content does."""

# A file written again within its timestamps' granularity keeps its identity; the coarsest
# (FAT) counts two seconds, so hashes of files as young as that are not remembered.
_SETTLED_NS = 2_000_000_000


class SampleHashes(NamedTuple):
    """Hashes of what samples hold.

    Attributes:
        hash: Hash over names, images, masks and defects in order; equal on every machine.
        images: Sha256 of each sample's image, in order.
    """

    hash: str
    images: tuple[str, ...]


class ContentHashes:
    """Sha256 of files, remembered below a folder.

    Args:
        root: Folder of the memo files; made when the first one is written.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def of(self, paths: Iterable[Path]) -> dict[Path, str]:
        """Return the sha256 of each file, in hex.

        Raises:
            DatasetError: A file cannot be read.
        """
        by_folder: dict[str, list[Path]] = {}
        for path in dict.fromkeys(paths):
            by_folder.setdefault(os.path.abspath(path.parent), []).append(path)  # noqa: PTH100
        hashes: dict[Path, str] = {}
        with ThreadPoolExecutor() as pool:
            for folder, files in by_folder.items():
                hashes.update(self._of_folder(folder, files, pool))
        return hashes

    def data_hash(self, samples: Sequence[Sample]) -> str:
        """Return the hash of `contents`."""
        return self.contents(samples).hash

    def contents(self, samples: Sequence[Sample]) -> SampleHashes:
        """Return the hashes of samples, for which each of their files is read at most once.

        A defect that its image's folder is named after is not hashed again.

        Raises:
            DatasetError: A file cannot be read.
        """
        files = [file for sample in samples for file in sample.files]
        of_file = self.of(files)
        digest = hashlib.sha256()
        for sample in samples:
            masks = "+".join(of_file[mask] for mask in sample.masks)
            line = f"{sample.name}\0{of_file[sample.image]}\0{masks}"
            if sample.defect and sample.defect not in PurePosixPath(sample.name).parts[:-1]:
                line += f"\0{sample.defect}"  # as a table says, which can be corrected
            digest.update(f"{line}\n".encode("utf-8", "surrogateescape"))
        images = tuple(of_file[sample.image] for sample in samples)
        return SampleHashes(digest.hexdigest(), images)

    def _of_folder(
        self, folder: str, files: list[Path], pool: ThreadPoolExecutor
    ) -> dict[Path, str]:
        memo_file = self._root / f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]}.json"
        memo = _read_memo(memo_file, folder)
        identities = dict(zip(files, map(_identity, files), strict=True))
        unknown = [file for file in files if memo.get(file.name, [])[:-1] != identities[file]]
        computed = dict(zip(unknown, pool.map(_sha256, unknown), strict=True))
        settled = {
            file.name: [*identities[file], digest]
            for file, digest in computed.items()
            if _is_settled(identities[file]) and _identity(file) == identities[file]
        }
        if settled:
            # Read again: another process may have added to it in the meantime.
            _write_memo(memo_file, folder, {**_read_memo(memo_file, folder), **settled})
        return {file: computed.get(file) or memo[file.name][-1] for file in files}


def _identity(file: Path) -> Identity:
    try:
        stat = file.stat()
    except OSError as error:
        raise _unreadable(file, error) from error
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _is_settled(identity: Identity) -> bool:
    return time.time_ns() - max(identity[1], identity[2]) > _SETTLED_NS


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: OSError) -> DatasetError:
    return DatasetError(
        f"The file {file} cannot be read: {error.strerror}. Check that it exists and that you "
        "have permission to read it."
    )


def _read_memo(memo_file: Path, folder: str) -> dict[str, Any]:
    """Return the remembered hashes of a folder; none if the memo is missing or damaged."""
    try:
        memo = json.loads(memo_file.read_bytes())
        files: dict[str, Any] = memo["files"]
        whole = memo["folder"] == folder and all(
            len(entry) == 5 and len(entry[-1]) == 64 for entry in files.values()
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}
    return files if whole else {}


def _write_memo(memo_file: Path, folder: str, files: dict[str, Any]) -> None:
    # A memo that cannot be written (read-only cache, full disk) costs time, not results.
    with suppress(OSError), atomic_path(memo_file) as temporary:
        text = json.dumps({"folder": folder, "files": files})
        temporary.write_text(text, encoding="ascii")
