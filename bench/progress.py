"""Progress of a session: a live line on a terminal; elsewhere a line per case and a heartbeat."""

import os
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

from _pytest.terminal import TerminalReporter

from bench.printable import elide_middle
from bench.record import Record
from bench.studies import ranking_of

_HEARTBEAT_SECONDS = 60.0
_LIVE_SECONDS = 0.2

LONG_SECONDS = 120.0
"""A phase that will take longer than this is announced."""


_SLOW_STEP_SECONDS = 5.0


class Progress:
    """Writes the progress of a session.

    Cases are counted among those that are expected to run, see `expect`.

    Args:
        terminal: pytest's terminal reporter; None writes nothing.
        total: Number of selected cases.
        lines: Whether every finished case gets its own line.
    """

    def __init__(self, terminal: TerminalReporter | None, total: int, *, lines: bool) -> None:
        self._terminal, self._total, self._lines = terminal, total, lines
        self._live = _is_live(terminal)
        self._done = 0
        self._ran = 0
        self._seconds = 0.0
        self._case = ""
        self._announced = False
        self._pace = _Pace("")
        self._began = self._shown = time.monotonic()

    def begin(self, case_id: str) -> None:
        """Note that a case starts."""
        self._case = case_id
        self._began = self._shown = time.monotonic()

    def report(self, phase: str, info: dict[str, Any]) -> None:
        """Show the progress of the running case."""
        moment = time.monotonic()
        if phase != self._pace.phase or not info or self._pace.is_over(info):
            self._pace, self._announced = _Pace(phase), False
        left = self._pace.seconds_left(info, moment)
        where = f"{phase} {info['step']}/{info['steps']}" if "steps" in info else phase
        if left is not None and left > LONG_SECONDS and not self._announced:
            self._announced = True
            hint = "; --images-seen N shortens it" if phase == "train" else ""
            text = (
                f"{self._head()} {self._case} needs about {_duration(left)} more for {where}{hint}"
            )
            self._write(text, live=False)
        if moment - self._shown < (_LIVE_SECONDS if self._live else _HEARTBEAT_SECONDS):
            return
        self._shown = moment
        parts = [where]
        if "loss" in info:
            parts.append(f"loss {info['loss']:.4f}")
        parts.append(f"{moment - self._began:.0f} s")
        if left is not None:
            parts.append(f"({_duration(left)} of {phase} left)")
        rest = " ".join(parts) + self._eta(moment - self._began, left)
        self._write(f"{self._head()} {self._case_before(rest)} {rest}", live=self._live)

    def end(self, record: Record) -> None:
        """Note that a case has run."""
        seconds = time.monotonic() - self._began
        self._ran += 1
        self._seconds += seconds
        parts: list[str] = [record.outcome]
        if record.status == "ok":
            head, metric = ranking_of(record)
            value = record.metrics.get(head, {}).get(metric.name)
            text = "–" if value is None else metric.text(value)
            parts.append(f"{head} {metric.heading} {text}")
            speed = record.measurements.get("inference_images_per_s")
            parts += [f"{speed:.0f} img/s"] if speed else []
        self.note(record.key.id, "  ".join([*parts, f"{seconds:.0f} s"]))

    def note(self, case_id: str, text: str) -> None:
        """Write one line for a case that is over, however it ended."""
        if self._lines:
            self._write(f"{self._head()} {case_id}  {text}", live=False)
        self._done += 1

    def explain(self, case_id: str, text: str) -> None:
        """Write one line about a case that is about to run."""
        if self._lines:
            self._write(f"{self._head()} {case_id}  {text}", live=False)

    def add(self, about: str, text: str) -> None:
        """Write one more line about the case that is over."""
        if self._lines:
            self._write(f"{self._head(self._done)} {about}  {text}", live=False)

    def expect(self, total: int) -> None:
        """Note how many of the selected cases will not be skipped, as far as is known so far."""
        self._total = total

    def _head(self, number: int | None = None) -> str:
        """Return the number of a case, by default the next one to be over, and the total."""
        number = self._done + 1 if number is None else number
        return f"[{number:{len(str(self._total))}d}/{self._total}]"

    def _case_before(self, rest: str) -> str:
        """Return the id of the running case; on a live line, as much as fits before the rest."""
        if self._terminal is None or not self._live:
            return self._case
        room = self._terminal._tw.fullwidth - 1
        return elide_middle(self._case, room - len(f"{self._head()}  {rest}"))

    def _eta(self, elapsed: float, phase_left: float | None) -> str:
        """Return the time left, from the mean of the session's cases; empty in the first."""
        if not self._ran:
            return ""
        mean = self._seconds / self._ran
        left = (self._total - self._done - 1) * mean + max(mean - elapsed, phase_left or 0.0)
        return f" ETA {_duration(left)}"

    def _write(self, text: str, *, live: bool) -> None:
        if self._terminal is None:
            return
        # A terminal that was closed must not cost a record.
        with suppress(OSError), self._uncaptured():
            self._write_line(self._terminal, text, live=live)

    def _uncaptured(self) -> AbstractContextManager[None]:
        """Suspend output capturing, which would treat the line as the test's own output."""
        assert self._terminal is not None
        manager = self._terminal.config.pluginmanager.getplugin("capturemanager")
        if manager is None:
            return nullcontext()
        uncaptured: AbstractContextManager[None] = manager.global_and_fixture_disabled()
        return uncaptured

    def _write_line(self, terminal: TerminalReporter, text: str, *, live: bool) -> None:
        writer = terminal._tw
        if live:
            writer.write("\r" + text[: writer.fullwidth - 1] + "\x1b[K", flush=True)
            return
        if self._live:
            writer.write("\r\x1b[K")
        elif writer.width_of_current_line:
            writer.line()
        writer.line(text)
        writer.flush()


class _Pace:
    """The pace of a phase, from the steps that it reports.

    Args:
        phase: Name of the phase, which begins now.
    """

    def __init__(self, phase: str) -> None:
        self.phase = phase
        self._first: tuple[int, float] | None = None
        self._last = 0
        self._began = time.monotonic()

    def is_over(self, info: dict[str, Any]) -> bool:
        """Return whether a report's steps begin anew, as when a second set is predicted."""
        return bool(info.get("step", self._last) < self._last)

    def seconds_left(self, info: dict[str, Any], moment: float) -> float | None:
        """Return how long the phase will still take; None while that is unknown."""
        if "steps" not in info:
            return None
        step: int = info["step"]
        self._last = step
        if self._first is None:
            self._first = step, moment
            # A first step may compile, allocate or resume; one this slow is assumed to be typical.
            # Not in training, whose first step comes after a warm-up of the model.
            if self.phase == "train" or moment - self._began < _SLOW_STEP_SECONDS:
                return None
            pace = (moment - self._began) / step
        else:
            pace = (moment - self._first[1]) / max(1, step - self._first[0])
        return pace * float(info["steps"] - step)


def _is_live(terminal: TerminalReporter | None) -> bool:
    """Return whether a line can be overwritten; colors may be off there and on in a file."""
    return terminal is not None and terminal.isatty() and os.environ.get("TERM") != "dumb"


def _duration(seconds: float) -> str:
    """Return a duration as h:mm:ss.

    >>> _duration(3725.4)
    '1:02:05'
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
