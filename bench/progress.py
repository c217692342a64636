"""Progress of a session: a live line on a terminal; elsewhere a line per case and a heartbeat."""

import time
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

from _pytest.terminal import TerminalReporter

from bench.metrics.catalog import METRICS
from bench.record import Record
from bench.study import RANKING, first_head, task_of

_HEARTBEAT_SECONDS = 60.0
_LIVE_SECONDS = 0.2


class Progress:
    """Writes the progress of a session.

    Args:
        terminal: pytest's terminal reporter; None writes nothing.
        total: Number of selected cases.
        lines: Whether every finished case gets its own line.
    """

    def __init__(self, terminal: TerminalReporter | None, total: int, *, lines: bool) -> None:
        self._terminal, self._total, self._lines = terminal, total, lines
        self._live = terminal is not None and terminal._tw.hasmarkup
        self._done = 0
        self._ran = 0
        self._seconds = 0.0
        self._case = ""
        self._began = self._shown = time.monotonic()

    def begin(self, case_id: str) -> None:
        """Note that a case starts."""
        self._case = case_id
        self._began = self._shown = time.monotonic()

    def report(self, phase: str, info: dict[str, Any]) -> None:
        """Show where the running case is."""
        moment = time.monotonic()
        if moment - self._shown < (_LIVE_SECONDS if self._live else _HEARTBEAT_SECONDS):
            return
        self._shown = moment
        parts = [self._head(), self._case, phase]
        if "steps" in info:
            parts.append(f"{info['step']}/{info['steps']}")
        if "loss" in info:
            parts.append(f"loss {info['loss']:.4f}")
        parts.append(f"{moment - self._began:.0f} s{self._eta()}")
        self._write(" ".join(parts), live=self._live)

    def end(self, record: Record) -> None:
        """Note that a case has run."""
        seconds = time.monotonic() - self._began
        self._ran += 1
        self._seconds += seconds
        parts: list[str] = [record.outcome]
        if record.status == "ok":
            head, metric = first_head(record), METRICS[RANKING[task_of(record)]]
            value = record.metrics.get(head, {}).get(metric.name)
            text = "–" if value is None else metric.text(value)
            parts.append(f"{head} {metric.heading} {text}")
            speed = record.measurements.get("inference_images_per_s")
            parts += [f"{speed:.0f} img/s"] if speed else []
        self.note(record.key.id, "  ".join([*parts, f"{seconds:.0f} s"]))

    def note(self, case_id: str, text: str) -> None:
        """Write one line for a case that is over, however it ended."""
        self._done += 1
        if self._lines:
            self._write(f"{self._head(0)} {case_id}  {text}", live=False)

    def explain(self, case_id: str, text: str) -> None:
        """Write one line about a case that is about to run."""
        if self._lines:
            self._write(f"{self._head()} {case_id}  {text}", live=False)

    def skip(self) -> None:
        """Note that a case is skipped; the summary says why."""
        self._done += 1

    def _head(self, ahead: int = 1) -> str:
        width = len(str(self._total))
        return f"[{self._done + ahead:{width}d}/{self._total}]"

    def _eta(self) -> str:
        left = self._total - self._done
        if not self._ran or left < 1:
            return ""
        minutes, seconds = divmod(int(left * self._seconds / self._ran), 60)
        return f" ETA {minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"

    def _write(self, text: str, *, live: bool) -> None:
        if self._terminal is None:
            return
        # A terminal that went away must not cost a record.
        with suppress(OSError), self._uncaptured():
            self._write_line(self._terminal, text, live=live)

    def _uncaptured(self) -> AbstractContextManager[None]:
        """Suspend output capturing, which would take the line for the test's own output."""
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
