"""Unpacking an archive so that what has the target's name is finished, and safe to have."""

import errno
import io
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datasets_lib.download.archive_member import (
    Budget,
    Damaged,
    DamagedArchiveError,
    MemberPaths,
    Unsafe,
    UnsafeArchiveError,
)
from datasets_lib.download.archives import members
from datasets_lib.download.file_lock import held, make_folder, sync
from datasets_lib.layouts.category import DatasetError

__all__ = ["DamagedArchiveError", "Progress", "UnsafeArchiveError", "unpack"]

Progress = Callable[[int, int | None], None]
"""Called with the bytes of the archive read so far, and its size."""

_FULL = {errno.ENOSPC, errno.EDQUOT}


def unpack(
    archive: Path,
    target: Path,
    *,
    limit_bytes: int | None = None,
    strip: str | None = None,
    progress: Progress | None = None,
) -> None:
    """Unpacks a zip or tar archive (plain, gzip, xz, bzip2) into a new folder, whole or not at all.

    It is unpacked beside the target and renamed when all of it is on the disk; what a killed
    process left is cleared by the next call for the same target. A target that is there already
    stays as it is. Of several processes one unpacks, the others wait. Archives within stay packed;
    modes and times of the members are not kept.

    Args:
        archive: The file; its kind is told from its content.
        target: The folder to make.
        limit_bytes: Most that may come out of it.
        strip: Top folder that all members are in, to be left away.
        progress: Called after every chunk.

    Raises:
        UnsafeArchiveError: It holds links, devices, encrypted members, paths that lead out or
            cannot be written everywhere, two members for one place, or more than it should.
        DamagedArchiveError: It is broken, breaks off, or is no archive.
        DatasetError: It cannot be read, or the target cannot be written.
    """
    if target.exists():
        return
    unfinished = target.with_name(f".{target.name}.unpacking")
    with _explained(archive, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with held(unfinished, make_folder):
            try:
                if target.exists():
                    unfinished.rmdir()
                    return
                _clear(unfinished)
                _fill(unfinished, archive, limit_bytes, MemberPaths(strip), progress)
                unfinished.rename(target)
            except BaseException:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise
        sync(target.parent)


class _Unreadable(Exception):
    """The file itself cannot be read, whatever is in it; half a sentence why.

    No OSError, which those that read archives take for damage.
    """


class _ArchiveFile(io.FileIO):
    """A file whose reading fails as `_Unreadable`."""

    def readinto(self, buffer: Any) -> int | None:
        with _readable():
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with _readable():
            return super().readall()


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _Unreadable(error.strerror or str(error)) from error


@contextmanager
def _explained(archive: Path, target: Path) -> Iterator[None]:
    try:
        yield
    except Unsafe as reason:
        raise UnsafeArchiveError(
            f"Wanted to unpack {archive}, found that it is not safe: {reason}. Get it again from "
            f"its publisher; if it is theirs, unpack by hand what you trust of it, to {target}."
        ) from reason
    except Damaged as reason:
        raise DamagedArchiveError(
            f"Wanted to unpack {archive}, found that {reason}. Delete it and get it again from "
            "its publisher."
        ) from reason
    except _Unreadable as reason:
        raise DatasetError(
            f"Wanted to unpack {archive}, found that it cannot be read: {reason}. Name an archive "
            "that is there and that you may read; on a failing disk or network, copy it elsewhere."
        ) from reason
    except OSError as error:
        full = error.errno in _FULL
        raise DatasetError(
            f"Wanted to unpack {archive} to {target}, found that it cannot be written: "
            f"{'the disk is full' if full else error}. "
            f"{'Make room there' if full else 'Make its folder writable'}, or name another folder."
        ) from error


def _clear(folder: Path) -> None:
    for left in folder.iterdir():
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink()


def _fill(
    folder: Path,
    archive: Path,
    limit_bytes: int | None,
    paths: MemberPaths,
    progress: Progress | None,
) -> None:
    with _readable():
        size, raw = archive.stat().st_size, io.BufferedReader(_ArchiveFile(archive))
    budget = Budget(size, limit_bytes)
    with raw:
        for member in members(raw, budget):
            budget.take_member()
            path = folder / paths.place(member)
            (path if member.is_folder else path.parent).mkdir(parents=True, exist_ok=True)
            if member.is_folder:
                for _ in member.chunks:
                    raise Damaged(f"the folder {member.name!r} has content")
                continue
            with path.open("xb") as file:
                for chunk in member.chunks:
                    budget.take(len(chunk))
                    file.write(chunk)
                    if progress is not None:
                        progress(raw.tell(), size)
    if not any(folder.iterdir()):
        raise Damaged("it holds nothing")
    if progress is not None:
        progress(size, size)
    # Each has to wait for the disk, so that waiting for many at once is faster.
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(sync, [folder, *folder.rglob("*")]))
