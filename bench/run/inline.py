"""Cases in this process: nothing to start, but a crash ends the session."""

from bench.record import Record
from bench.run.case import run_case
from bench.run.device_data import DeviceData
from bench.run.job import Job, ProgressCallback


class InlineRunner:
    """Runs jobs in the calling process."""

    def __init__(self) -> None:
        self._device_data = DeviceData()

    def run(self, job: Job, progress: ProgressCallback) -> Record:
        """Run a job; an exception becomes a failed record."""
        return run_case(job, progress, self._device_data)

    def close(self) -> None:
        """Release the data of the last group of cases."""
        self._device_data = DeviceData()
