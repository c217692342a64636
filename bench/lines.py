"""Append-only files of JSON lines: a line is on the disk whole, or not at all."""

import errno
import json
import os
from pathlib import Path
from typing import Any

from filelock import FileLock

_BINARY = getattr(os, "O_BINARY", 0)  # without it, Windows writes two bytes for a newline


def append_line(path: Path, line: bytes) -> None:
    """Append one line, ended by a newline, and wait for the disk.

    A line torn by an earlier crash is terminated first, so that this one stays intact.

    Raises:
        OSError: The line could not be written whole; the file is as it was before.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _BINARY, 0o644)
    try:
        end = os.lseek(descriptor, 0, os.SEEK_END)
        os.lseek(descriptor, max(0, end - 1), os.SEEK_SET)  # Windows has no pread
        if os.read(descriptor, 1) not in (b"", b"\n"):
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


def append_object(path: Path, value: dict[str, Any]) -> None:
    """Append an object as one line of JSON; several processes may append at once.

    Raises:
        OSError: The line could not be written whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        append_line(path, json.dumps(value, allow_nan=False).encode() + b"\n")


def read_objects(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file, oldest first, without torn lines; none if there is no file."""
    if not path.is_file():
        return []
    objects = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            value = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(value, dict):
            objects.append(value)
    return objects
