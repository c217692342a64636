"""Write a file so that its name always refers to a complete file."""

import errno
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Error numbers of a write to a full disk or beyond a quota."""

_ABANDONED_SECONDS = 24 * 3600
_UNIQUE = 8 * "[0-9a-f]"  # the part of a temporary name that differs between writers


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to a file; it replaces the file once the block succeeds.

    The content is flushed to disk before the rename. A block that raises leaves the old file as it
    was. Parent folders are created. Leftovers of killed processes are removed after a day. A link
    stays: its target is replaced. A device or a pipe, such as /dev/null, is written to directly.

    Args:
        path: Path of the file to write.

    Raises:
        OSError: The file cannot be written, or is a folder.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     with atomic_path(Path(folder, "note.txt")) as temporary:
        ...         _ = temporary.write_text("whole")
        ...     [file.name for file in Path(folder).iterdir()]
        ['note.txt']
    """
    if path.is_char_device() or path.is_fifo():
        yield path
        return
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{escape(path.name)}.{_UNIQUE}.tmp"):
        _remove_abandoned(leftover)
    # A separate name for each writer: two processes may write the same file at once.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Flush the content of a file, or the names in a folder, to disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open folders
    # Windows flushes only files that are open for writing.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_abandoned(leftover: Path) -> None:
    try:
        if time.time() - leftover.stat().st_mtime > _ABANDONED_SECONDS:
            leftover.unlink()
    except FileNotFoundError:  # its writer finished, or another process removed it
        pass
