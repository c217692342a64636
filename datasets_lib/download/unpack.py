"""Unpack zip and tar archives into a staging folder, safely."""

import errno
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from datasets_lib.atomic import DISK_FULL, sync
from datasets_lib.layouts.category import DatasetError

Progress = Callable[[int, int | None], None]
"""Called with the bytes of the archive read so far, and its size."""

# Images hardly compress in real archives; 64 MiB are harmless whatever the ratio.
_MAX_RATIO = 200
_HARMLESS_BYTES = 64 << 20
# Minimum cost of a member: millions of empty files are a bomb too.
_MEMBER_BYTES = 512
_UTF8_MARK = 0x800
_WINDOWS = 0
"""System on which a zip says that it was made; some programs write its backslashes into paths."""
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,  # names that are not UTF-8, fields that are not numbers
    RuntimeError,  # encrypted members, unknown compressions
)


class ArchiveError(DatasetError):
    """An archive is damaged, unsafe to unpack, or not an archive at all."""


class _StrictTarInfo(tarfile.TarInfo):
    """A header that must be intact: `tarfile` treats a damaged header as the archive's end."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> "_StrictTarInfo":
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"bad header at byte {archive.offset:,}: {error}") from error


class _Budget:
    """Running total of declared sizes; bounds what is written, since no member exceeds its own."""

    def __init__(self, archive: Path, folder: Path) -> None:
        self._limit = max(_HARMLESS_BYTES, _MAX_RATIO * archive.stat().st_size)
        self._free = shutil.disk_usage(folder).free
        self._total = 0

    def add(self, size: int) -> None:
        self._total += max(size, _MEMBER_BYTES)
        if self._total > self._limit:
            raise ValueError(f"it unpacks to over {self._limit:,} bytes, like a decompression bomb")
        if self._total > self._free:
            raise OSError(errno.ENOSPC, f"it needs over {self._free:,} bytes")


def unpack(archive: Path, folder: Path, progress: Progress | None = None) -> None:
    """Unpack a zip or tar archive (plain, gzip, xz, bzip2) into an empty folder.

    Files are flushed to disk. After an error the folder holds a part of the archive: unpack into a
    staging folder and rename it, as `datasets_lib.download.place` does.

    Args:
        archive: Path of the archive; its format is detected from its content.
        folder: Empty folder to fill.
        progress: Called after every member, and at the end.

    Raises:
        ArchiveError: It is damaged or not an archive, or holds links, devices, encrypted members,
            paths that lead out of the folder, or far more bytes than its size suggests.
        DatasetError: It cannot be read, or the folder cannot be written.
    """
    with _explained(archive, folder):
        size = archive.stat().st_size
        with archive.open("rb") as raw:
            is_zip = raw.read(2) == b"PK"
            raw.seek(0)
            for _ in (_unpack_zip if is_zip else _unpack_tar)(
                raw, folder, _Budget(archive, folder)
            ):
                if progress is not None:
                    progress(raw.tell(), size)
        if progress is not None:
            progress(size, size)
        if not any(folder.iterdir()):
            raise ArchiveError(_damaged(archive, "it holds nothing"))
        # Every flush waits for the disk: waiting for many at once is faster.
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(sync, [folder, *folder.rglob("*")]))


def _unpack_zip(raw: BinaryIO, folder: Path, budget: _Budget) -> Iterator[None]:
    # Some systems write names in UTF-8 or in their own encoding without saying so.
    with zipfile.ZipFile(raw, metadata_encoding=_zip_encoding(raw)) as archive:
        members = archive.infolist()
        for member in members:
            kind = stat.S_IFMT(member.external_attr >> 16)
            name = _posix_name(member)
            _check_member(name, kind in {0, stat.S_IFREG, stat.S_IFDIR})
            member.filename = name
            budget.add(member.file_size)
        for member in members:
            archive.extract(member, folder)
            if not member.is_dir():  # nothing is read for a folder
                yield


def _unpack_tar(raw: BinaryIO, folder: Path, budget: _Budget) -> Iterator[None]:
    with tarfile.open(
        fileobj=raw, tarinfo=_StrictTarInfo, encoding="utf-8", errors="surrogateescape"
    ) as archive:
        for member in archive:
            member.name = _decoded(member.name.encode("utf-8", "surrogateescape"))
            _check_member(member.name, member.isfile() or member.isdir())
            budget.add(member.size)
            archive.extract(member, folder, filter="data")
            yield
        # The checksum of a compressed archive comes after its last member.
        while archive.fileobj is not None and archive.fileobj.read(1 << 20):
            pass


def _zip_encoding(raw: BinaryIO) -> str:
    """Return the encoding of names that are not marked as UTF-8."""
    # Code page 437 maps every byte to one character and back.
    with zipfile.ZipFile(raw, metadata_encoding="cp437") as archive:
        unmarked = [m.orig_filename for m in archive.infolist() if not m.flag_bits & _UTF8_MARK]
    raw.seek(0)
    return _encoding_of([name.encode("cp437") for name in unmarked])


def _decoded(name: bytes) -> str:
    return name.decode(_encoding_of([name]))


def _encoding_of(names: list[bytes]) -> str:
    """Return the encoding that all names have: UTF-8, or that of Korean Windows."""
    for encoding in ("utf-8", "cp949"):
        try:
            for name in names:
                name.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    raise ValueError("its names are neither UTF-8 nor CP949: pack it again with names in UTF-8")


def _posix_name(member: zipfile.ZipInfo) -> str:
    """Return the path of a member with ``/`` between folders, whatever its system writes."""
    name = member.orig_filename
    if member.create_system != _WINDOWS or "\\" not in name:
        return name
    if PureWindowsPath(name).drive:
        raise _outside(name)
    return name.replace("\\", "/")


def _check_member(name: str, is_plain: bool) -> None:
    path = PurePosixPath(name)
    if not is_plain:
        raise ValueError(f"the member {name[:80]!r} is not a regular file or folder")
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise _outside(name)


def _outside(name: str) -> ValueError:
    return ValueError(f"the member {name[:80]!r} has a path outside its folder")


@contextmanager
def _explained(archive: Path, folder: Path) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise ArchiveError(_damaged(archive, str(error) or type(error).__name__)) from error
    except OSError as error:
        # gzip and bzip2 report damage as an OSError without a number.
        if error.errno is None:
            raise ArchiveError(_damaged(archive, str(error))) from error
        full = error.errno in DISK_FULL
        raise DatasetError(
            f"Wanted to unpack {archive} to {folder.parent}, found that "
            f"{f'the disk is full ({error.strerror})' if full else error}. "
            f"{'Make room there, or name' if full else 'Make both accessible, or name'} "
            "another folder."
        ) from error


def _damaged(archive: Path, reason: str) -> str:
    return (
        f"Wanted to unpack {archive}, found that it is damaged or not safe: {reason}. Get it again "
        "from its publisher; if it is your own, pack plain files and folders again, as zip or tar."
    )
