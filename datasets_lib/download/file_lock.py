"""Something half made that is its own lock: who holds it may go on with it, others wait.

A lock file of its own would stay behind, or could not be removed without letting two in.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def held(path: Path, make: Callable[[Path], None]) -> Iterator[None]:
    """Holds a file or folder, made if it is missing, against other threads and processes.

    It may be renamed or removed meanwhile: those who waited for it then make a new one. The death
    of its holder frees it.

    Args:
        path: Which.
        make: Makes it, and is content if it is there already.

    Raises:
        OSError: It cannot be made or opened.
    """
    while True:
        make(path)
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue  # its holder finished in between
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(descriptor, path):
                yield
                return
        finally:
            os.close(descriptor)


def make_folder(path: Path) -> None:
    """Makes a folder for `held`.

    ``Path.mkdir(exist_ok=True)`` looks a second time and fails where the folder that was there has
    been renamed by then, as its holder does when it is done.
    """
    with suppress(FileExistsError):
        path.mkdir()


def sync(path: Path) -> None:
    """Writes a file's content, or a folder's names, through to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
