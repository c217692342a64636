"""A download's unfinished file, and what is remembered of the server's version it is part of.

``NAME.part`` holds the bytes that came. Beside it ``NAME.part.json`` says whose they are, where the
server tells one version of the file from another: without that they cannot be gone on with.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from datasets_lib.download.file_lock import held, sync


@dataclass(frozen=True)
class Version:
    """One version of a file on a server.

    Attributes:
        url: Of the file.
        validator: Its strong ETag or, without one, its Last-Modified.
        total: Its length in bytes.
    """

    url: str
    validator: str
    total: int


class PartFile:
    """What came so far of a file.

    Args:
        target: Where the finished file goes.

    Attributes:
        path: Where it is until then.
    """

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.name}.part")
        self._target = target
        self._version_file = target.with_name(f"{target.name}.part.json")
        self._finished = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps other threads and processes off; in the end drops what nobody can go on with."""
        with held(self.path, lambda path: path.touch()):
            try:
                yield
            finally:
                # Once it has its name, a file at its old place is another process's.
                if not self._finished and self.resumable() is None:
                    self._version_file.unlink(missing_ok=True)
                    self.path.unlink(missing_ok=True)

    @property
    def size(self) -> int:
        """Bytes that came so far."""
        return self.path.stat().st_size

    def resumable(self) -> Version | None:
        """The version whose beginning came; None if there is nothing to go on with."""
        with suppress(OSError, ValueError, TypeError):
            version = Version(**json.loads(self._version_file.read_bytes()))
            if 0 < self.size <= version.total:
                return version
        return None

    def begin(self, version: Version | None) -> None:
        """Empties it, for the bytes of a version; None is one that cannot be gone on with."""
        os.truncate(self.path, 0)
        self._version_file.unlink(missing_ok=True)
        if version is not None:
            self._version_file.write_text(json.dumps(asdict(version)), encoding="utf-8")

    def finish(self) -> None:
        """Gives it its name, when all of it is on the disk."""
        sync(self.path)
        self.path.replace(self._target)
        self._finished = True
        self._version_file.unlink(missing_ok=True)
        sync(self._target.parent)
