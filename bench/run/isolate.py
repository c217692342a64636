"""Cases in a watched child process: a crash, a hang or the out-of-memory killer costs one case.

The children are forked from a server that has torch loaded and has never touched CUDA; one child
serves a group of cases and is replaced after anything but a clean record.
"""

import contextlib
import multiprocessing as mp
import os
import signal
import tempfile
import time
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from bench.record import Outcome, Record
from bench.run.job import Job, ProgressCallback, failed_record

_GRACE_SECONDS = 5.0
_PRELOAD = ["torch", "timm", "bench.run.case"]


class _ChildGoneError(Exception):
    """The child's end of the pipe is closed."""


class IsolatedRunner:
    """Runs jobs in child processes, one group a child.

    Args:
        timeout_s: Wall time a case may take.
        stall_timeout_s: Time it may go without a sign of life.
    """

    def __init__(self, timeout_s: float, stall_timeout_s: float) -> None:
        self._timeout, self._stall = timeout_s, stall_timeout_s
        methods = mp.get_all_start_methods()
        self._context: Any = mp.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:
            self._context.set_forkserver_preload(_PRELOAD)
        self._child: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._group = ""
        handle, name = tempfile.mkstemp(prefix="proving-ground-", suffix=".log")
        os.close(handle)
        self._log = Path(name)

    def run(self, job: Job, report: ProgressCallback) -> Record:
        """Run a job; a child that dies or hangs leaves a failed record."""
        if self._child is None or not self._child.is_alive() or self._group != job.group:
            self._end_child()
            self._start(job.group)
        killed_before = _oom_kills()
        try:
            result = self._wait(job, report)
        except _ChildGoneError:
            result = self._died(killed_before)
        except BaseException:
            self._kill()
            raise
        if isinstance(result, Record):
            if result.status != "ok":
                self._kill()
            return result
        self._kill()
        return failed_record(job, *result)

    def close(self) -> None:
        """Let the child and its log go."""
        self._end_child()
        self._log.unlink(missing_ok=True)

    def _end_child(self) -> None:
        if self._pipe is not None and self._child is not None and self._child.is_alive():
            with contextlib.suppress(OSError):
                self._pipe.send(None)
            self._child.join(_GRACE_SECONDS)
        self._kill()

    def _start(self, group: str) -> None:
        from bench.run.worker import serve

        ours, theirs = self._context.Pipe()
        self._log.write_text("")
        self._child = self._context.Process(target=serve, args=(theirs, self._log), daemon=True)
        self._child.start()
        theirs.close()
        self._pipe, self._group = ours, group

    def _wait(self, job: Job, report: ProgressCallback) -> Record | tuple[Outcome, str]:
        self._send(job)
        start = heard = time.monotonic()
        phase = "start"
        while True:
            message = self._received()
            if message is not None:
                if message[0] == "record":
                    record: Record = message[1]
                    return record
                phase, heard = message[1], time.monotonic()
                report(phase, message[2])
            moment = time.monotonic()
            if moment - start > self._timeout:
                return "timeout", (
                    f"The case was stopped in phase '{phase}' after {self._timeout:.0f} s. "
                    "Allow it more with --case-timeout SECONDS."
                )
            if moment - heard > self._stall:
                return "timeout", (
                    f"The case gave no sign of life for {self._stall:.0f} s in phase '{phase}' and "
                    "was stopped. Allow it more with --stall-timeout SECONDS."
                )

    def _send(self, job: Job) -> None:
        assert self._pipe is not None
        try:
            self._pipe.send(job)
        except OSError as error:
            raise _ChildGoneError from error

    def _received(self) -> Any:
        """What the child said, or None after half a second of silence."""
        assert self._pipe is not None
        try:
            return self._pipe.recv() if self._pipe.poll(0.5) else None
        except (EOFError, OSError) as error:
            raise _ChildGoneError from error

    def _died(self, killed_before: int) -> tuple[Outcome, str]:
        assert self._child is not None
        self._child.join(_GRACE_SECONDS)
        code = self._child.exitcode
        if code == -signal.SIGKILL and _oom_kills() > killed_before:
            return "oom", (
                "The system's out-of-memory killer ended the case. Choose a smaller batch or image "
                "size, or free some memory."
            )
        how = f"signal {signal.Signals(-code).name}" if code and code < 0 else f"exit code {code}"
        words = _last_words(self._log.read_text(errors="replace"))
        return "crash", f"The case's process ended with {how}. Its last output:\n{words}"

    def _kill(self) -> None:
        """End the child and whatever it started: it leads a process group of its own."""
        child, self._child = self._child, None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if child is None or child.pid is None:
            return
        for blow in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(child.pid, blow)
            except OSError:  # nobody is left, or it had not become a group leader yet
                child.kill()
            child.join(_GRACE_SECONDS if blow is signal.SIGTERM else None)


def _last_words(log: str, lines: int = 12) -> str:
    """The end of what a dead process printed, or the top of the stack it died with."""
    said = log.strip().splitlines() or ["(none)"]
    fatal = next((i for i, line in enumerate(said) if line.startswith("Fatal Python")), None)
    return "\n".join(said[-lines:] if fatal is None else said[fatal : fatal + lines])


def _oom_kills() -> int:
    """How often the kernel's out-of-memory killer struck in this control group."""
    for path in ("/sys/fs/cgroup/memory.events", "/proc/vmstat"):
        with contextlib.suppress(OSError, ValueError):
            for line in Path(path).read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
    return 0
