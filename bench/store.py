"""The record store: an append-only file, to which each case adds one fsynced line."""

import codecs
import errno
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

from bench.record import Key, Record, RecordError, from_json

_BLANK = " \t\r\ufeff"
"""What may surround a line; a byte-order mark does wherever files of some editors were joined."""

_log = logging.getLogger(__name__)


class StoreError(Exception):
    """A record could not be written; the message says where and what to do."""


class Store:
    """The records of one results folder.

    Several processes may append at once. A line torn by a crash is skipped when reading and
    terminated when writing, so that it costs its own record and no other.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "records.jsonl"

    def append(self, record: Record) -> None:
        """Append a record and wait for the disk.

        Raises:
            StoreError: The line could not be written whole; the file is as it was before.
        """
        line = record.to_json().encode() + b"\n"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock"):
                self._append_line(line)
        except OSError as error:
            raise StoreError(
                f"The record of {record.key.id} ({len(line)} bytes) could not be written to "
                f"{self.path}: {error.strerror}. Earlier records are safe. Free some disk space or "
                "choose another place with --results-dir, then run the same command again."
            ) from error

    def _append_line(self, line: bytes) -> None:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            end = os.lseek(descriptor, 0, os.SEEK_END)
            if end and os.pread(descriptor, 1, end - 1) != b"\n":
                line = b"\n" + line
            try:
                written = os.write(descriptor, line)
                if written < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, end)
                raise
        finally:
            os.close(descriptor)

    def records(self) -> list[Record]:
        """Return every readable record, oldest first."""
        return read_records([self.path]) if self.path.exists() else []

    def finished(self) -> dict[Key, Record]:
        """Return the newest ``ok`` record of each key."""
        return {record.key: record for record in self.records() if record.status == "ok"}


def read_records(files: Iterable[Path]) -> list[Record]:
    """Return the records of JSONL files in order; an unreadable line is skipped and logged.

    A torn last line, left by a crash or a full disk, is skipped silently.
    """
    records = []
    for file in files:
        lines = [line.strip(_BLANK) for line in _text(file.read_bytes()).split("\n")]
        for number, line in enumerate(lines, start=1):
            if not line:
                continue
            try:
                records.append(from_json(line))
            except RecordError as error:
                if number < len(lines):
                    _log.warning("%s:%d skipped: %s", file, number, error)
    return records


def _text(content: bytes) -> str:
    """Decode UTF-8, or the UTF-16 that PowerShell writes."""
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if utf16 else "utf-8", errors="replace")
