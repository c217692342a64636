"""Running one case: train it, judge it, measure it, write its files, and say what happened."""

import errno
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from bench.environment import environment
from bench.record import Outcome, Record
from bench.run.artifacts import write_artifacts
from bench.run.device import DeviceError, exclusive_use, numerics, use_device
from bench.run.evaluate import NonFiniteScoresError, judge, predict_all
from bench.run.job import Job, Report, WeightsError, blank_record, now
from bench.run.load import build_model
from bench.run.loop import NonFiniteLossError, fit
from bench.run.profile import measure
from bench.run.resident import Resident
from datasets_lib.decode import decoded_files
from datasets_lib.layout import DatasetError

_NO_SPACE = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}


def run_case(job: Job, report: Report, resident: Resident) -> Record:
    """Run a job to its record; whatever goes wrong becomes a failed record, never an exception."""
    record = blank_record(job)
    phases = Phases(report)
    try:
        with warnings.catch_warnings(), exclusive_use(job.device) as alone:
            warnings.simplefilter("default")
            record.environment["exclusive"] = alone
            _run(job, record, phases, resident)
    except Exception as error:
        record.status = "failed"
        record.outcome, message = explain(error)
        record.error = {"message": message, "traceback": traceback.format_exc()}
    if record.outcome == "oom" and torch.cuda.is_available():
        torch.cuda.empty_cache()  # only now has the traceback let its tensors go
    record.timings = phases.seconds
    record.finished = now()
    return record


@dataclass
class Phases:
    """Seconds by phase, each announced as it begins."""

    report: Report
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time one phase."""
        self.report(name, {})
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(time.perf_counter() - start, 4)


def _run(job: Job, record: Record, phases: Phases, resident: Resident) -> None:
    device = use_device(job.device)
    record.environment |= environment(job.device) | numerics(device)
    decoded = decoded_files()
    with phases("data"):
        data = resident.load(job, phases.report)
    record.fingerprints["images_decoded"] = decoded_files() - decoded
    with phases("build"):
        model = build_model(job)
    checkpoint = job.folder / "training.pth"
    if job.afresh:
        checkpoint.unlink(missing_ok=True)
    with phases("train"):
        trained = fit(
            model,
            data.fit.images,
            job.protocol,
            seed=job.seed,
            device=device,
            report=phases.report,
            checkpoint=checkpoint,
        )
    record.curve = trained.curve()
    record.fingerprints |= {"images_seen": trained.images_seen, "resumed_at": trained.resumed_at}
    record.fingerprints["frozen_features"] = (
        "computed once" if trained.frozen else "recomputed every step"
    )
    batch = job.protocol.evaluation_batch
    with phases("predict"):
        options: dict[str, Any] = {"batch": batch, "device": device, "report": phases.report}
        scored = predict_all(model, data.test.images, **options)
        calibration = (
            predict_all(model, data.calibration.images, **options) if data.calibration else None
        )
    with phases("metrics"):
        _note_metrics(record, judge(data.test, scored, calibration))
    with phases("artifacts"):
        write_artifacts(job, record, model, data.test, scored)
    with phases("measure"):  # last: its training steps change the model
        measured = measure(model, data.fit.images, job.protocol, trained, device)
    record.measurements, record.samples = measured.figures, measured.samples
    checkpoint.unlink(missing_ok=True)


def _note_metrics(record: Record, judged: dict[str, Any]) -> None:
    for arm, result in judged.items():
        record.metrics[arm] = dict(result.metrics)
        record.thresholds[arm] = dict(result.thresholds)
        record.reasons |= {f"{arm}.{name}": reason for name, reason in result.reasons.items()}


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
