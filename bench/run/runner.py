"""What runs a session's cases: child processes, or the calling process."""

from typing import Protocol

from bench.gc_paused import gc_paused
from bench.record import Record
from bench.run.job import Job, ProgressCallback
from bench.settings import Settings


class Runner(Protocol):
    """Runs one job to its record."""

    def run(self, job: Job, progress: ProgressCallback) -> Record:
        """Run a job; a failure is a record too."""

    def close(self) -> None:
        """Release resources."""


def runner_of(settings: Settings) -> Runner:
    """Return the runner that the settings ask for."""
    if settings.isolate:
        from bench.run.isolate import IsolatedRunner

        return IsolatedRunner(settings.timeout_s, settings.stall_timeout_s)
    with gc_paused():
        from bench.run.inline import InlineRunner

    return InlineRunner()
