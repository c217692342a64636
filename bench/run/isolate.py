"""Cases in a watched child process, where a crash, a hang or running out of memory costs one case.

Children are forked from a server that has torch loaded and has never touched CUDA; Windows has no
fork, so there each is spawned and loads torch itself. One child serves a group of cases and is
replaced after any outcome but ``ok``.
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
from bench.run.job import Job, ProgressCallback

_SAVE_SECONDS = 60  # to end a step and write the training's state
_GRACE_SECONDS = 5.0
_LOG_LINES = 12  # of a dead process, in its record
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows lacks SIGKILL
_PRELOAD = ["torch", "timm", "bench.run.case"]


class _ChildGoneError(Exception):
    """The child has closed its end of the pipe."""


class IsolatedRunner:
    """Runs jobs in child processes, one per group of cases.

    Args:
        timeout_s: Maximum wall time of a case in seconds.
        stall_timeout_s: Maximum time without a sign of life in seconds.
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

    def run(self, job: Job, progress: ProgressCallback) -> Record:
        """Run a job; a child that dies or hangs leaves a failed record."""
        if self._child is None or not self._child.is_alive() or self._group != job.group:
            self._end_child()
            self._start(job)
        killed_before = _oom_kills()
        try:
            result = self._wait(job, progress)
        except _ChildGoneError:
            result = self._died(killed_before)
        except BaseException:
            self._kill(_SAVE_SECONDS)  # a second Ctrl-C ends the wait
            raise
        if isinstance(result, Record):
            if result.status != "ok":
                self._kill()
            return result
        self._kill()
        return job.failed_record(*result)

    def close(self) -> None:
        """Stop the child and remove its log."""
        self._end_child()
        self._log.unlink(missing_ok=True)

    def _end_child(self) -> None:
        if self._pipe is not None and self._child is not None and self._child.is_alive():
            with contextlib.suppress(OSError):
                self._pipe.send(None)
            self._child.join(_GRACE_SECONDS)
        self._kill()

    def _start(self, job: Job) -> None:
        from bench.run.worker import serve

        ours, theirs = self._context.Pipe()
        self._log.write_text("")
        arguments = (theirs, self._log, job.settings.plugins)
        self._child = self._context.Process(target=serve, args=arguments, daemon=True)
        self._child.start()
        theirs.close()
        self._pipe, self._group = ours, job.group

    def _wait(self, job: Job, progress: ProgressCallback) -> Record | tuple[Outcome, str]:
        self._send(job)
        start = last_sign = time.monotonic()
        phase = "start"
        while True:
            message = self._received()
            if message is not None:
                if message[0] == "record":
                    record: Record = message[1]
                    return record
                phase, last_sign = message[1], time.monotonic()
                progress(phase, message[2])
            moment = time.monotonic()
            if moment - start > self._timeout:
                return "timeout", (
                    f"The case was stopped in phase '{phase}' after {self._timeout:.0f} s. "
                    "Allow more time with --case-timeout SECONDS."
                )
            if moment - last_sign > self._stall:
                return "timeout", (
                    f"The case made no progress for {self._stall:.0f} s in phase '{phase}' and "
                    "was stopped. Allow more time with --stall-timeout SECONDS."
                )

    def _send(self, job: Job) -> None:
        assert self._pipe is not None
        try:
            self._pipe.send(job)
        except OSError as error:
            raise _ChildGoneError from error

    def _received(self) -> Any:
        """Return the child's next message, or None after half a second of silence."""
        assert self._pipe is not None
        try:
            return self._pipe.recv() if self._pipe.poll(0.5) else None
        except (EOFError, OSError) as error:
            raise _ChildGoneError from error

    def _died(self, killed_before: int) -> tuple[Outcome, str]:
        assert self._child is not None
        self._child.join(_GRACE_SECONDS)
        code = self._child.exitcode
        if code == -_KILL and _oom_kills() > killed_before:
            return "oom", (
                "The system's out-of-memory killer ended the case. Choose a smaller batch or image "
                "size, or free some memory."
            )
        cause = f"signal {signal.Signals(-code).name}" if code and code < 0 else f"exit code {code}"
        output = _tail(self._log.read_text(errors="replace"))
        return "crash", f"The case's process ended with {cause}. Its last output:\n{output}"

    def _kill(self, grace_seconds: float = _GRACE_SECONDS) -> None:
        """Kill the child and everything it started: it leads its own process group."""
        child, self._child = self._child, None
        pipe, self._pipe = self._pipe, None
        try:
            if child is not None and child.pid is not None:
                _end(child, grace_seconds)
        finally:
            if pipe is not None:  # not earlier: a training that saves its state keeps reporting
                pipe.close()


def _end(child: BaseProcess, grace_seconds: float) -> None:
    try:
        _signal_group(child, signal.SIGTERM)
        child.join(grace_seconds)
    finally:
        _signal_group(child, _KILL)
        child.join()


def _signal_group(child: BaseProcess, number: signal.Signals) -> None:
    assert child.pid is not None
    try:
        os.killpg(child.pid, number)
    except (OSError, AttributeError):  # gone, no group leader yet, or a system without groups
        child.kill()


def _tail(log: str) -> str:
    """Return the end of a process's output, or the top of the stack that it died with."""
    output = log.strip().splitlines() or ["(none)"]
    fatal = next((i for i, line in enumerate(output) if line.startswith("Fatal Python")), None)
    return "\n".join(output[-_LOG_LINES:] if fatal is None else output[fatal : fatal + _LOG_LINES])


def _oom_kills() -> int:
    """Return the number of kills by the kernel's out-of-memory killer in this control group."""
    for path in ("/sys/fs/cgroup/memory.events", "/proc/vmstat"):
        with contextlib.suppress(OSError, ValueError):
            for line in Path(path).read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
    return 0
