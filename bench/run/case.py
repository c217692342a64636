"""Running one case to its record: whatever goes wrong is part of what happened."""

import errno
import gc
import re
import sysconfig
import traceback
import warnings
from dataclasses import asdict, replace
from typing import Any

import torch

from bench.environment import environment
from bench.error_text import first_line
from bench.provenance.load import LoadMeter
from bench.provenance.throttling import ThrottleMeter
from bench.record import Outcome, Record, from_json
from bench.run.anomaly import AnomalyTask
from bench.run.classification import ClassificationTask
from bench.run.device import (
    DeviceError,
    DeviceMissingError,
    exclusive_use,
    numerics,
    use_device,
)
from bench.run.device_data import DeviceData
from bench.run.job import (
    CaseSkipped,
    Job,
    LabeledInputs,
    ProgressCallback,
    RecipeError,
    WeightsError,
    now,
)
from bench.run.malloc import trim
from bench.run.measure.flops import numbers_kept
from bench.run.measure.profile import Measured, measure
from bench.run.out_of_memory import is_out_of_memory
from bench.run.phases import Phases
from bench.run.predict import NonFiniteScoresError
from bench.run.saved_model import save_model
from bench.run.task import Evaluation, Model, Task
from bench.run.training.loop import NonFiniteLossError, TrainingResult
from bench.run.training.resume import ResumeError
from datasets_lib.images.decode import decoded_files, set_pixel_limit
from datasets_lib.layouts.category import DatasetError
from models.components.base import ModelContractError
from models.components.errors import ImageSizeError, TooFewImagesError
from models.components.image_size import size_text

_TOO_SMALL = re.compile(
    "Kernel size can't be greater than actual input|Padding size should be less than"
    "|[Oo]utput size is too small|output sizes should be greater than 0"
    "|Expected more than 1 (value|spatial element)"
)
"""Torch's messages about images that are smaller than a layer's window."""

_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")})
"""Folders of Python's own files and of installed ones."""

_NO_SPACE = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}


def run_case(job: Job, progress: ProgressCallback, device_data: DeviceData) -> Record:
    """Run a job to its record; an exception becomes a failed or skipped record."""
    phases = Phases(progress)
    machine: dict[str, Any] = {}
    meter, heat = LoadMeter(), None
    started = now()
    try:
        with warnings.catch_warnings(), exclusive_use(job.settings.device) as alone:
            warnings.simplefilter("default")
            machine["exclusive"] = alone()
            set_pixel_limit(job.settings.max_megapixels)
            device = use_device(job.settings.device)
            machine |= environment(job.settings.device) | numerics(device)
            heat = ThrottleMeter(job.settings.device)
            kind = ClassificationTask if isinstance(job.inputs, LabeledInputs) else AnomalyTask
            record = _run(job, kind(job, device, device_data, progress), phases, device)
            machine["exclusive"] = alone()  # others may have come since
    except (CaseSkipped, DeviceMissingError) as skip:
        lacking: Outcome = "device" if isinstance(skip, DeviceMissingError) else "weights"
        record = job.record(status="skipped", outcome=lacking, error={"message": str(skip)})
    except Exception as exception:
        outcome, message = explain(exception)
        if outcome == "crash" and _too_small(exception):
            outcome, message = (
                "recipe",
                (
                    f"{job.case.model} cannot take images of "
                    f"{size_text(job.protocol.input_size)} pixels: "
                    f"{first_line(exception).rstrip('.')}. Choose a larger --image-size."
                ),
            )
        record = job.failed_record(outcome, message)
        record.error = {"message": message, "traceback": traceback.format_exc()}
    if record.outcome == "oom" and torch.cuda.is_available():
        # Only now has the traceback let its tensors go; models with cycles wait for the collector.
        gc.collect()
        torch.cuda.empty_cache()
    if (load := meter.read()) is not None and "device" in machine:
        # On CUDA one thread launches the work.
        threads = machine["threads"] if machine["device"] == "cpu" else 1
        machine["busy"] = load.disturbs(threads)
        record.fingerprints["load"] = asdict(load)
    if heat is not None and (seconds := heat.read()) is not None:
        machine["throttled"] = heat.throttled(seconds)
        record.fingerprints["throttled_seconds"] = seconds
    record = replace(
        record, environment=machine, timings=phases.seconds, started=started, finished=now()
    )
    return from_json(record.to_json())  # as it will be read again: no NaN, plain values


def _run(job: Job, task: Task, phases: Phases, device: torch.device) -> Record:
    if job.settings.rerun:
        job.checkpoint.unlink(missing_ok=True)
    decoded = decoded_files()
    with phases("data"):
        task.load()
    task.fingerprints["images_decoded"] = decoded_files() - decoded
    with phases("build"):
        model = task.build()
    with phases("features"):
        task.prepare(model)
    trim()  # else the place of a case in its session shows in its fit seconds
    with phases("train"):
        trained = task.train(model)
    if trained.evaluate_seconds:
        phases.move("train", "evaluate", trained.evaluate_seconds)
    with phases("predict"):
        predictions = task.predict(model)
    with phases("metrics"):
        evaluation = task.evaluate(predictions, trained)
    record = _record(job, task, trained, evaluation)
    try:
        with phases("artifacts"):
            artifacts = _write_files(job, task, model, predictions, record)
    except Exception as error:  # the results of the case are worth keeping
        return replace(record, status="failed", **_without_files(error))
    # Last: its training steps change the model.
    measured = _measured(job, task, model, trained, phases, device)
    if not job.settings.keep_state:
        job.checkpoint.unlink(missing_ok=True)
    return replace(
        record,
        artifacts=artifacts,
        measurements=measured.values,
        samples=measured.samples,
        charges=measured.charges,
        reasons=record.reasons | measured.reasons,
        notes=record.notes | measured.notes,
    )


def _record(job: Job, task: Task, trained: TrainingResult, evaluation: Evaluation) -> Record:
    """Return the record of an evaluated model, before its files are written."""
    progress_made: dict[str, Any] = {
        "images_seen": trained.images_seen,
        "resumed_at": trained.resumed_at,
    }
    progress_made |= {"stopped": trained.stopped} if trained.stopped else {}
    return job.record(
        **vars(evaluation)
        | {"fingerprints": {**task.fingerprints, **progress_made, **evaluation.fingerprints}},
        curve=trained.curve(),
        epochs=trained.epochs,
    )


def _measured(
    job: Job,
    task: Task,
    model: Model,
    trained: TrainingResult,
    phases: Phases,
    device: torch.device,
) -> Measured:
    """Return the time to fit and, where they are wanted, speed, memory and size."""
    measured = _fit(task.fit_parts(trained))
    if job.settings.measurements:
        measured.values["numbers_kept"] = numbers_kept(model.checkpoint())
        with phases("measure"):
            target, limit = task.profile_target(model), job.settings.measure_seconds
            measured |= measure(target, job.protocol, trained, device, limit, task.progress)
    return measured


def _fit(parts: dict[str, float]) -> Measured:
    """Return the time to fit, and its parts."""
    if not parts:
        return Measured({})
    return Measured({"fit_seconds": sum(parts.values())}, charges={"fit_seconds": parts})


def _write_files(
    job: Job, task: Task, model: Model, predictions: Any, record: Record
) -> dict[str, str]:
    """Write the files of a run; return their paths below the results folder."""
    job.folder.mkdir(parents=True, exist_ok=True)
    files = task.write_files(model, predictions, record)
    if job.settings.save_models:
        fields = task.checkpoint_fields(predictions, record)
        files["model"] = save_model(job, model, record, job.folder / "model.pth", **fields)
    if job.settings.keep_state and job.checkpoint.exists():
        files["state"] = job.checkpoint
    return {
        name: path.relative_to(job.settings.results_dir).as_posix() for name, path in files.items()
    }


def _without_files(error: Exception) -> dict[str, Any]:
    """Return what the record of an evaluated case says where its files could not be written."""
    outcome, message = explain(error)
    if outcome == "crash":
        message = (
            "The case ran and its metrics are kept, but not all of its pictures and files could "
            f"be written: {message}"
        )
    return {
        "outcome": outcome,
        "error": {"message": message, "traceback": traceback.format_exc()},
    }


def explain(error: Exception) -> tuple[Outcome, str]:
    """Return the outcome of an exception, and one paragraph for people."""
    if isinstance(error, NonFiniteLossError | NonFiniteScoresError):
        return "nan", str(error)
    if is_out_of_memory(error):
        return "oom", (
            f"Out of memory: {first_line(error)} Choose a smaller batch or image size, set "
            "gradient_checkpointing in the recipe, or free device memory."
        )
    if isinstance(error, DatasetError | TooFewImagesError):
        return "data", str(error)
    if isinstance(error, ImageSizeError | RecipeError | ResumeError):
        return "recipe", str(error)
    if isinstance(error, WeightsError):
        return "weights", str(error)
    if isinstance(error, DeviceError):
        return "device", str(error)
    if isinstance(error, ModelContractError):
        return "crash", f"ModelContractError: {error}"
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        return "disk", (
            f"The case ran, but its files could not be written: {error}. Free some disk space or "
            "choose another place with --results-dir, then run the same command again."
        )
    return "crash", f"{type(error).__name__}: {first_line(error)}{_place(error)}"


def _place(error: Exception) -> str:
    """Return the last line that an error passed through outside installed libraries."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_LIBRARIES)]
    last = (own or frames)[-1:]
    return f" ({last[0].filename}, line {last[0].lineno})" if last else ""


def _too_small(error: Exception) -> bool:
    """Return whether a layer of torch rejects its input as too small."""
    return isinstance(error, RuntimeError | ValueError) and bool(_TOO_SMALL.search(str(error)))
