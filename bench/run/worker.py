"""The child process: receives jobs from a pipe, sends back progress and records."""

import contextlib
import faulthandler
import multiprocessing as mp
import os
import signal
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_SECONDS_BETWEEN_REPORTS = 0.2


def serve(connection: Connection, log: Path, plugins: Sequence[Path]) -> None:
    """Run jobs until the parent sends None or goes away.

    The child leads its own process group, so that it can be killed with everything it started,
    where there are such groups (not on Windows).

    Args:
        connection: Receives jobs; sends progress and records.
        log: Receives the child's output, whose tail explains a crash.
        plugins: Plugin files, loaded before a job arrives: what they define may be part of it.
    """
    if hasattr(os, "setsid"):
        os.setsid()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    faulthandler.enable(file=2)

    from bench.extensions import load_extensions
    from bench.run.case import run_case
    from bench.run.device_data import DeviceData

    device_data = DeviceData()
    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        load_extensions(plugins)
        while (job := connection.recv()) is not None:
            record = run_case(job, _Reporter(connection), device_data)
            connection.send(("record", record))


def _end_with_parent() -> None:
    """Exit when the session is killed, so that no child keeps occupying the device."""
    parent = mp.parent_process()
    if parent is not None:
        parent.join()
        if hasattr(os, "killpg"):
            os.killpg(0, signal.SIGKILL)
        os._exit(1)


class _Reporter:
    """Sends progress, at most five times a second within a phase."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._phase = ""
        self._sent = 0.0

    def __call__(self, phase: str, info: dict[str, Any]) -> None:
        moment = time.monotonic()
        if phase == self._phase and moment - self._sent < _SECONDS_BETWEEN_REPORTS:
            return
        self._phase, self._sent = phase, moment
        self._connection.send(("progress", phase, info))
