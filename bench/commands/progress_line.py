"""How far a long step is: a bar on a terminal, a line every tenth elsewhere."""

import shutil
import sys
import time
from typing import TextIO

_REDRAW_SECONDS = 0.1
_LINE_SECONDS = 1.0
"""Least time between two lines, so that a short step says its end alone."""

_BAR = 24


class ProgressLine:
    """Writes where one step is, to the standard error stream, so that output stays clean.

    Args:
        label: What is going on.
        unit: ``B`` for bytes, shown as MB; else what is counted, such as ``files``.
        stream: Where to write.
    """

    def __init__(self, label: str, unit: str = "B", stream: TextIO | None = None) -> None:
        self._label, self._unit = label, unit
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._began = self._shown = time.monotonic()
        self._first: int | None = None
        self._tenth = 0

    def __call__(self, done: int, total: int | None) -> None:
        """Says how much is done, and of how much where that is known."""
        now = time.monotonic()
        if self._first is None:
            self._first, self._began = done, now
            # What an earlier attempt left is no news.
            self._tenth = 10 * done // total if total else 0
        if self._live:
            if now - self._shown >= _REDRAW_SECONDS or done == total:
                self._shown = now
                self._draw(done, total, now)
        elif total and (tenth := 10 * done // total) > self._tenth:
            self._tenth = tenth
            if now - self._shown < _LINE_SECONDS and done < total:
                return
            self._shown = now
            print(self._text(done, total, now), file=self._stream, flush=True)

    def close(self) -> None:
        """Leaves the line as it is and goes to the next."""
        if self._live and self._first is not None:
            print(file=self._stream, flush=True)

    def _draw(self, done: int, total: int | None, now: float) -> None:
        text = self._text(done, total, now)
        width = shutil.get_terminal_size().columns - 1
        if total and width > len(text) + _BAR:
            filled = _BAR * min(done, total) // total
            text = f"[{'#' * filled}{'.' * (_BAR - filled)}] {text}"
        print(f"\r{text[:width]}\x1b[K", end="", file=self._stream, flush=True)

    def _text(self, done: int, total: int | None, now: float) -> str:
        parts = [self._label]
        if total:
            parts.append(f"{100 * done // total:d} %")
        if self._unit == "B":
            parts.append(f"{done / 1e6:.1f}{f' of {total / 1e6:.1f}' if total else ''} MB")
        else:
            parts.append(f"{done:,}{f' of {total:,}' if total else ''} {self._unit}")
        seconds = now - self._began
        rate = (done - (self._first or 0)) / seconds if seconds > 0 else 0.0
        if rate > 0:
            each = f"{rate / 1e6:.1f} MB/s" if self._unit == "B" else f"{rate:,.0f}/s"
            parts.append(each)
            if total and done < total:
                parts.append(f"ETA {_clock((total - done) / rate)}")
        return "  ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
