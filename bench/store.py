"""The record store: an append-only file, to which each case adds one fsynced line."""

import codecs
import contextlib
import json
import logging
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

from bench.lines import append_line
from bench.provenance.fingerprint import Fingerprint
from bench.record import Key, Record, RecordError, from_json
from datasets_lib.atomic import atomic_path

_BLANK = " \t\r\ufeff"
"""Characters that may surround a line; joining files of some editors leaves byte-order marks."""

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
                append_line(self.path, line)
        except OSError as error:
            raise StoreError(
                f"The record of {record.key.id} ({len(line)} bytes) could not be written to "
                f"{self.path}: {error.strerror}. Earlier records are safe. Free some disk space or "
                "choose another place with --results-dir, then run the same command again."
            ) from error

    def records(self) -> list[Record]:
        """Return every readable record, oldest first."""
        return read_records([self.path]) if self.path.exists() else []

    def finished(self) -> dict[Key, list[Record]]:
        """Return the ``ok`` records of each key, oldest first."""
        finished: dict[Key, list[Record]] = {}
        for record in self.records():
            if record.status == "ok":
                finished.setdefault(record.key, []).append(record)
        return finished

    def keep_code(self, code: Fingerprint) -> None:
        """Keep the hashes by file of a fingerprint, once, to name later what changed.

        In a folder that cannot be written, only those names are lost, never the case.
        """
        path = self._code_path(code.hash)
        if path.exists():
            return
        with contextlib.suppress(OSError), atomic_path(path) as temporary:
            temporary.write_text(json.dumps(dict(code.files), indent=1), encoding="utf-8")

    def code_files(self, code_hash: str | None) -> dict[str, str] | None:
        """Return the hashes by file of a fingerprint; None if they were not kept."""
        try:
            files: dict[str, str] = json.loads(self._code_path(code_hash or "").read_bytes())
        except (OSError, ValueError):
            return None
        return files

    def _code_path(self, code_hash: str) -> Path:
        return self.folder / "code" / f"{code_hash}.json"


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
