"""What commands print: sizes and progress."""

import sys
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

_LINE_SECONDS = 1.0
"""Minimum time between two lines in a log, so that a short step prints only its end."""

_LINE = "{desc}: {percentage:3.0f}% {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}]"


class ProgressBar:
    """Progress of a step on the standard error stream: a bar on a terminal, lines in a log.

    A log gets a line every tenth of the step, or fewer, so that the mail of a cron job stays short.

    Args:
        label: Name of the step.
        unit: ``B`` for bytes, shown with prefixes; otherwise what is counted, such as ``files``.
        stream: Stream to write to.
        lines: Maximum number of lines in a log.
    """

    def __init__(
        self, label: str, unit: str = "B", stream: TextIO | None = None, lines: int = 10
    ) -> None:
        self._label, self._unit, self._stream = label, unit, stream or sys.stderr
        self._lines = lines
        self._bar: _Bar | None = None

    def __call__(self, done: int, total: int | None) -> None:
        """Show how much is done, and out of how much if known."""
        if self._bar is None:
            # Starting at what an earlier attempt left keeps the speed right.
            live = self._stream.isatty()
            self._bar = _Bar(
                desc=self._label,
                total=total,
                initial=done,
                unit=self._unit,
                unit_scale=self._unit == "B",
                file=self._stream,
                leave=live,  # tqdm would end a log with an empty line
                dynamic_ncols=live,
                mininterval=0.1 if live else _LINE_SECONDS,
                miniters=None if live else max(1, (total or 0) // self._lines),
                bar_format=None if live or not total else _LINE,
            )
            return
        self._bar.update(done - self._bar.n)

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


class _Bar(tqdm):  # type: ignore[misc]
    """A tqdm bar that prints whole lines where the stream is not a terminal."""

    monitor_interval = 0  # no watching thread: callers report steadily
    _printed = 0

    def display(self, msg: str | None = None, pos: int | None = None) -> Any:
        if self.fp.isatty():
            return super().display(msg, pos)
        if self.total and self.n > max(self.initial, self._printed):
            self._printed = self.n
            print(str(self), file=self.fp, flush=True)
        return False  # nothing to erase


def megabytes(count: int) -> str:
    """Return a size as people read it, in powers of ten as publishers state them.

    >>> megabytes(4_900_000_000), megabytes(161_000_000), megabytes(300_000)
    ('4.9 GB', '161 MB', '0.3 MB')
    """
    if count >= 10**9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.0f} MB" if count >= 10**7 else f"{count / 1e6:.1f} MB"


def free_bytes(folder: Path) -> int:
    """Return the bytes free where a folder is or would be created."""
    import shutil

    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(existing).free
