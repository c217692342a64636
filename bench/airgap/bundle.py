"""Write a tar file of everything a study needs on a machine without a network."""

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from bench.airgap.unbundle import FORMAT, MANIFEST, SCRIPT, BundleError
from datasets_lib.atomic import atomic_path
from datasets_lib.discover import FoundDataset

Progress = Callable[[int, int], None]
"""Called with bytes done and total bytes."""

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Member:
    """A file of a bundle.

    Attributes:
        name: Path in the bundle, with ``/``.
        path: Path on this machine.
    """

    name: str
    path: Path

    @property
    def size(self) -> int:
        """Return the present size in bytes."""
        return self.path.stat().st_size


def dataset_members(dataset: FoundDataset) -> list[Member]:
    """Return all files of a dataset's folder, below ``data/``, without hidden ones.

    Raises:
        BundleError: A link is broken, or leads to a folder that contains it.
        OSError: A folder cannot be listed.
    """
    files = _walk(dataset.root, f"data/{dataset.root.name}")
    return sorted(files, key=lambda member: member.name)


def project_members(root: Path) -> list[Member]:
    """Return the files of the project's working tree, below ``project/``.

    These are the files that git tracks and, for work in progress, new Python files.

    Raises:
        BundleError: The folder is not a checkout of the project.
    """
    if not (root / "pyproject.toml").is_file():
        raise BundleError(
            f"Wanted to bundle the project's source, found no checkout at {root}. Run this from "
            "an editable installation of a checkout (uv sync)."
        )
    names = [*_listed(root, "--cached"), *filter(_is_python, _untracked(root))]
    members = [Member(f"project/{name}", root / name) for name in sorted(names)]
    return [member for member in members if member.path.is_file()]


def excluded_files(root: Path) -> list[str]:
    """Return new files of the working tree that are not bundled: neither tracked nor Python."""
    return [name for name in _untracked(root) if not _is_python(name)]


def write_bundle(
    out: Path, members: Sequence[Member], facts: Mapping[str, Any], progress: Progress | None = None
) -> None:
    """Write a bundle, completely or not at all. Every file is read twice: hashed, then stored.

    Args:
        out: Path of the tar file.
        members: Files of the bundle.
        facts: Further fields of the manifest.
        progress: Called during both passes.

    Raises:
        BundleError: Two files have the same name, or a file changed in the meantime.
        OSError: A file cannot be read, or the bundle cannot be written.
    """
    counter = _Counter(2 * sum(member.size for member in members), progress)
    files: dict[str, dict[str, Any]] = {}
    for member in members:
        if member.name in files:
            raise BundleError(f"Two files would be {member.name} in the bundle: rename one.")
        files[member.name] = _checksum(member, counter)
    manifest = json.dumps({"format": FORMAT, **facts, "files": files}, indent=1, sort_keys=True)
    with (
        atomic_path(out) as temporary,
        tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar,
    ):
        _add(tar, SCRIPT, (Path(__file__).parent / SCRIPT).read_bytes())
        _add(tar, MANIFEST, manifest.encode())
        for member in members:
            _store(tar, member, files[member.name], counter)


class _Counter:
    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def add(self, count: int) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._total)


class _Hashing:
    """A file that hashes what is read from it."""

    def __init__(self, file: BinaryIO, counter: _Counter) -> None:
        self._file, self._counter = file, counter
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self.digest.update(chunk)
        self._counter.add(len(chunk))
        return chunk


def _checksum(member: Member, counter: _Counter) -> dict[str, Any]:
    with member.path.open("rb") as file:
        hashing = _Hashing(file, counter)
        size = 0
        while chunk := hashing.read(_CHUNK):
            size += len(chunk)
    return {"sha256": hashing.digest.hexdigest(), "size": size}


def _store(
    tar: tarfile.TarFile, member: Member, measured: Mapping[str, Any], counter: _Counter
) -> None:
    info = tarfile.TarInfo(member.name)
    info.size = measured["size"]
    info.mode = 0o755 if os.access(member.path, os.X_OK) else 0o644
    changed = f"{member.path} changed while it was being bundled; nothing was written. Try again."
    with member.path.open("rb") as file:
        hashing = _Hashing(file, counter)
        try:
            tar.addfile(info, hashing)
        except OSError as error:  # the file is shorter than before
            raise BundleError(f"{changed} ({error})") from error
    if hashing.digest.hexdigest() != measured["sha256"]:
        raise BundleError(changed)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    info.mode = 0o644
    tar.addfile(info, io.BytesIO(content))


def _is_python(name: str) -> bool:
    return name.endswith(".py")


def _untracked(root: Path) -> list[str]:
    return _listed(root, "--others", "--exclude-standard")


def _listed(root: Path, *options: str) -> list[str]:
    command = ["git", "ls-files", "-z", *options]
    done = subprocess.run(command, cwd=root, capture_output=True, check=False)
    if done.returncode:
        raise BundleError(
            f"Wanted the list of the project's files from git, which failed: "
            f"{done.stderr.decode()} Run this from a git checkout; {root} is not one."
        )
    return sorted(os.fsdecode(name) for name in done.stdout.split(b"\0") if name)


def _walk(
    folder: Path, prefix: str, above: frozenset[tuple[int, int]] = frozenset()
) -> Iterable[Member]:
    """Yield all files below a folder; links are followed, because some datasets consist of them."""
    state = folder.stat()
    identity = (state.st_dev, state.st_ino)
    if identity in above:
        raise BundleError(
            f"The link {folder} points to a folder that contains it: copying would never end. "
            "Remove the link."
        )
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _walk(path, f"{prefix}/{path.name}", above | {identity})
        elif path.is_file():
            yield Member(f"{prefix}/{path.name}", path)
        else:
            raise BundleError(
                f"{path} is a broken link or not a regular file. Restore its target, or remove it."
            )
