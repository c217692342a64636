"""Members of a tar archive, read once from front to back to its very end.

`tarfile` takes a damaged header, and an archive that breaks off between two members, for the end.
"""

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from tarfile import BLOCKSIZE, TarInfo
from typing import BinaryIO

from datasets_lib.download.archive_member import Budget, Damaged, Member, Unsafe

_CHUNK = 1 << 20
_LONGEST_EXTENSION = 1 << 20
_BROKEN = (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, MemoryError)
_EXTENSIONS = {tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME}
_Readable = BufferedIOBase | BinaryIO
_FILES = {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE}


def tar_members(raw: BinaryIO, compression: str | None, budget: Budget) -> Iterator[Member]:
    """The members of a tar archive in their order.

    Args:
        raw: The archive.
        compression: ``gzip``, ``xz``, ``bzip2`` or None.
        budget: Of what comes out of the decompression, headers included.

    Raises:
        Unsafe: It has links or devices, or unpacks to too much.
        Damaged: It is broken.
    """
    with _explained():
        stream = _Stream(_decompressed(raw, compression), budget)
        while (header := _next_header(stream)) is not None:
            if not (header.isdir() or header.type in _FILES):
                raise Unsafe(f"the member {header.name!r} is no plain file or folder")
            size = 0 if header.isdir() else header.size
            yield Member(header.name, header.isdir(), _chunks(stream, size))
        # Checksums of the whole are behind the end.
        while stream.read(_CHUNK):
            pass


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise Unsafe(f"a member's name {error.object!r} is not UTF-8") from error
    except _BROKEN as error:
        raise Damaged(f"it cannot be read ({error})") from error


def _decompressed(raw: BinaryIO, compression: str | None) -> _Readable:
    if compression == "gzip":
        return gzip.GzipFile(fileobj=raw, mode="rb")
    if compression == "xz":
        return lzma.LZMAFile(raw)
    if compression == "bzip2":
        return bz2.BZ2File(raw)
    return raw


class _Stream:
    """Decompressed bytes, counted."""

    def __init__(self, file: _Readable, budget: Budget) -> None:
        self._file = file
        self._budget = budget
        self._count = 0

    def read(self, size: int) -> bytes:
        chunk = self._file.read(size)
        self._count += len(chunk)
        self._budget.check_ratio(self._count)
        return chunk

    def read_all(self, size: int) -> bytes:
        """So many bytes, of which none may be missing."""
        content = self.read(size)
        if len(content) < size:
            raise Damaged("it breaks off")
        return content


def _next_header(stream: _Stream) -> TarInfo | None:
    """The next file's or folder's header, with its extensions; None at the end."""
    extensions: dict[str, str] = {}
    while any(block := stream.read_all(BLOCKSIZE)):
        header = TarInfo.frombuf(block, "utf-8", "strict")
        if header.type not in _EXTENSIONS:
            header.name = extensions.get("path", header.name)
            header.size = int(extensions.get("size", header.size))
            if header.size < 0:
                raise Damaged(f"{header.name!r} has a negative size")
            return header
        if header.size > _LONGEST_EXTENSION:
            raise Unsafe(f"a header of {header.size:,} bytes")
        content = b"".join(_chunks(stream, header.size))
        if header.type == tarfile.GNUTYPE_LONGNAME:
            extensions["path"] = content.removesuffix(b"\0").decode("utf-8")
        else:
            _add_records(extensions, content, everywhere=header.type == tarfile.XGLTYPE)
    if extensions:
        raise Damaged("it breaks off")
    return None


def _add_records(extensions: dict[str, str], content: bytes, *, everywhere: bool) -> None:
    """Reads the records ``LENGTH KEYWORD=VALUE`` of a pax header (POSIX.1-2001)."""
    while content:
        length = int(content[: content.index(b" ")])
        record, content = content[:length], content[length:]
        keyword, equals, value = record.partition(b" ")[2].partition(b"=")
        if len(record) < length or not equals or not value.endswith(b"\n"):
            raise Damaged("an extended header cannot be read")
        if keyword.startswith(b"GNU.sparse") or (everywhere and keyword in {b"path", b"size"}):
            raise Unsafe(f"an extended header with {keyword.decode('utf-8')}")
        if keyword in {b"path", b"size"}:
            extensions[keyword.decode("ascii")] = value[:-1].decode("utf-8")


def _chunks(stream: _Stream, size: int) -> Iterator[bytes]:
    with _explained():
        for start in range(0, size, _CHUNK):
            yield stream.read_all(min(_CHUNK, size - start))
        stream.read_all(-size % BLOCKSIZE)
