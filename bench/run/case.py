"""Running one case to its record: whatever goes wrong is part of what happened."""

import errno
import traceback
import warnings

import torch

from bench.environment import environment
from bench.record import Outcome, Record, from_json
from bench.run.anomaly import run_anomaly
from bench.run.classification import run_classification
from bench.run.device import DeviceError, exclusive_use, numerics, use_device
from bench.run.device_data import DeviceData
from bench.run.evaluate import NonFiniteScoresError
from bench.run.job import (
    CaseSkipped,
    Job,
    LabeledInputs,
    ProgressCallback,
    WeightsError,
    blank_record,
    now,
)
from bench.run.phases import Phases
from bench.run.training.loop import NonFiniteLossError
from datasets_lib.layouts.category import DatasetError

_NO_SPACE = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}


def run_case(job: Job, report: ProgressCallback, device_data: DeviceData) -> Record:
    """Run a job to its record; whatever goes wrong becomes a failed record, never an exception."""
    record = blank_record(job)
    phases = Phases(report)
    try:
        with warnings.catch_warnings(), exclusive_use(job.device) as alone:
            warnings.simplefilter("default")
            record.environment["exclusive"] = alone
            _run(job, record, phases, device_data)
    except CaseSkipped as skip:
        record.status, record.outcome = "skipped", "weights"
        record.error = {"message": str(skip)}
    except Exception as error:
        record.status = "failed"
        record.outcome, message = explain(error)
        record.error = {"message": message, "traceback": traceback.format_exc()}
    if record.outcome == "oom" and torch.cuda.is_available():
        torch.cuda.empty_cache()  # only now has the traceback let its tensors go
    record.timings = phases.seconds
    record.finished = now()
    return from_json(record.to_json())  # as it will be read again: no NaN, plain values


def _run(job: Job, record: Record, phases: Phases, device_data: DeviceData) -> None:
    device = use_device(job.device)
    record.environment |= environment(job.device) | numerics(device)
    if isinstance(job.inputs, LabeledInputs):
        run_classification(job, job.inputs, record, phases, device_data, device)
    else:
        run_anomaly(job, job.inputs, record, phases, device_data, device)


def explain(error: Exception) -> tuple[Outcome, str]:
    """The outcome an exception stands for, and one paragraph for people."""
    if isinstance(error, NonFiniteLossError | NonFiniteScoresError):
        return "nan", str(error)
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "oom", (
            f"Out of memory: {_first_line(error)} Choose a smaller batch or image size, set "
            "gradient_checkpointing in the recipe, or free the device."
        )
    if isinstance(error, DatasetError):
        return "data", str(error)
    if isinstance(error, WeightsError):
        return "weights", str(error)
    if isinstance(error, DeviceError):
        return "device", str(error)
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        return "disk", (
            f"The case ran, but its files could not be written: {error}. Free some disk space or "
            "name another place with --results-dir, then run the same command again."
        )
    return "crash", f"{type(error).__name__}: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
