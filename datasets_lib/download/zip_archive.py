"""Members of a zip archive, each held against all that the archive says of it."""

import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

from datasets_lib.download.archive_member import Budget, Damaged, Member, Unsafe

_CHUNK = 1 << 20
_UTF8_NAME = 0x800
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_LOCAL_HEADER = struct.Struct("<26xHH")
_END = struct.Struct("<10xH10x")
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    OverflowError,
    struct.error,
    ValueError,
    NotImplementedError,
    MemoryError,
)


def zip_members(raw: BinaryIO, budget: Budget) -> Iterator[Member]:
    """The members of a zip archive, in the order in which they lie in it.

    Raises:
        Unsafe: It has links, encrypted or overlapping members, or unpacks to too much.
        Damaged: It is broken.
    """
    with _explained(), zipfile.ZipFile(raw) as archive:
        infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
        _check_count(raw, len(infos))
        budget.check_total(sum(info.file_size for info in infos))
        for info in infos:
            _check_kind(info)
        _check_overlap(raw, infos, archive.start_dir)
        for info in infos:
            yield Member(_name(info), info.is_dir(), _chunks(archive, info))


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise Unsafe(f"a member's name {error.object!r} is not UTF-8") from error
    except _BROKEN as error:
        raise Damaged(f"it cannot be read ({error})") from error


def _chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    # Opening compares the two names it has in the archive; reading to the end, its CRC-32.
    count = 0
    with _explained(), archive.open(info) as file:
        while chunk := file.read(_CHUNK):
            count += len(chunk)
            yield chunk
    if count != info.file_size:
        raise Damaged(f"{info.filename!r} has {count:,} bytes, not {info.file_size:,}")


def _check_kind(info: zipfile.ZipInfo) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise Unsafe(f"the member {info.filename!r} is encrypted")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise Unsafe(f"the member {info.filename!r} is no plain file or folder")
    if info.is_dir() and info.file_size:
        raise Damaged(f"the folder {info.filename!r} has content")


def _check_count(raw: BinaryIO, count: int) -> None:
    end = raw.seek(0, os.SEEK_END)
    raw.seek(max(0, end - (1 << 16) - _END.size))
    tail = raw.read()
    (stated,) = _END.unpack_from(tail, tail.rfind(b"PK\5\6"))
    # All ones: the count is in the zip64 record.
    if stated not in {count & 0xFFFF, 0xFFFF}:
        raise Damaged(f"it says that it has {stated:,} members and has {count:,}")


def _check_overlap(raw: BinaryIO, infos: Sequence[zipfile.ZipInfo], directory: int) -> None:
    """A bomb may let thousands of members share the same bytes."""
    ends = []
    for info in infos:
        raw.seek(info.header_offset)
        name_length, extra_length = _LOCAL_HEADER.unpack(raw.read(_LOCAL_HEADER.size))
        header = _LOCAL_HEADER.size + name_length + extra_length
        ends.append(info.header_offset + header + info.compress_size)
    starts = [*(info.header_offset for info in infos), directory]
    if any(start < end for end, start in zip(ends, starts[1:], strict=True)):
        raise Unsafe("members overlap")


def _name(info: zipfile.ZipInfo) -> str:
    """The whole name: zipfile ends one at a NUL, and takes unmarked UTF-8 for code page 437."""
    if info.flag_bits & _UTF8_NAME:
        return info.orig_filename
    return info.orig_filename.encode("cp437").decode("utf-8")
