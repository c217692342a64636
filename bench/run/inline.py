"""Cases in this very process: nothing to start, and nothing to survive a crash."""

from bench.record import Record
from bench.run.case import run_case
from bench.run.device_data import DeviceData
from bench.run.job import Job, ProgressCallback


class InlineRunner:
    """Runs jobs where it is called."""

    def __init__(self) -> None:
        self._resident = DeviceData()

    def run(self, job: Job, report: ProgressCallback) -> Record:
        """Run a job; an exception is a failed record, a dead process is not survived."""
        return run_case(job, report, self._resident)

    def close(self) -> None:
        """Let the group's data go."""
        self._resident = DeviceData()
