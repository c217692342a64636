"""A job: a case with everything it needs found and named, ready to travel to a child process."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from bench.case import Case
from bench.protocol import Protocol
from bench.record import Key, Outcome, Record
from datasets_lib.discover import FoundDataset
from datasets_lib.entry import Reader
from datasets_lib.layouts.category import Sample
from models.catalog import MODELS
from models.components.weights import ResolvedWeights

ProgressCallback = Callable[[str, dict[str, Any]], None]
"""How a running case says where it is: ``report(phase, {"step": 3, "steps": 40, "loss": .1})``."""


class CaseSkipped(Exception):
    """A weight, dataset or device is missing; the message says which, and what mends it."""


class WeightsError(Exception):
    """Weights are there but cannot be used; the message says what does not fit."""


@dataclass(frozen=True)
class Inputs:
    """What a case reads.

    Attributes:
        fit: Normal images to train on.
        calibration: Held-out normal images for the honest threshold; may be empty.
        test: Images to judge on.
        has_masks: Whether every defective test image has a mask.
        data_hash: Over names and contents of all of these.
        weights: The backbone's weights, or None for a scratch case.
        held_out: Names of the fitted images that are kept from training, for models that calibrate
            on some.
        textures: The set that the loss takes other pictures from; None where it takes none or the
            procedural stand-in serves.
    """

    fit: tuple[Sample, ...]
    calibration: tuple[Sample, ...]
    test: tuple[Sample, ...]
    has_masks: bool
    data_hash: str
    weights: ResolvedWeights | None
    held_out: frozenset[str] = frozenset()
    textures: FoundDataset | None = None

    @property
    def images(self) -> dict[str, int]:
        """How many there are, by split."""
        counts = {
            "fit": len(self.fit) - len(self.held_out),
            "calibration": len(self.calibration),
            "test": len(self.test),
        }
        return counts | ({"held_out": len(self.held_out)} if self.held_out else {})


@dataclass(frozen=True)
class LabeledInputs:
    """What a classification case reads.

    Attributes:
        root: Folder of the dataset; of an embedded one, anything.
        reader: Reader of the dataset.
        images: How many it has, by split.
        data_hash: Over names, contents and labels of all of them.
        weights: The network's weights, or None for a scratch case.
    """

    root: Path
    reader: Reader
    images: dict[str, int]
    data_hash: str
    weights: ResolvedWeights | None


@dataclass(frozen=True)
class Job:
    """One case to run.

    Attributes:
        case: What to run.
        protocol: How.
        inputs: On what.
        key: Under which key its record is stored.
        seed: The actual seed.
        device: Where.
        cache_dir: Decode cache.
        results_dir: Artifacts go below, artifact paths are relative to it.
        save_model: Whether the trained model is kept.
        compiling: Whether a classifier's training is compiled: ``auto``, ``yes`` or ``no``.
        afresh: Whether a killed run's training checkpoint is thrown away.
        workers: As of `bench.settings.Settings`.
        host_memory: Likewise.
        pixel_metrics: Likewise.
        feature_cache: Likewise.
        cache_limit: Likewise.
        layers: Layers of the same backbone that cases of the session tap.
        plots: As of `bench.settings.Settings`.
        measurements: Likewise.
    """

    case: Case
    protocol: Protocol
    inputs: Inputs | LabeledInputs
    key: Key
    seed: int
    device: str
    cache_dir: Path
    results_dir: Path
    save_model: bool = False
    compiling: Literal["auto", "yes", "no"] = "auto"
    afresh: bool = False
    workers: int = 2
    host_memory: int | None = None
    pixel_metrics: Literal["exact", "histogram"] = "exact"
    feature_cache: bool = True
    cache_limit: int | None = None
    layers: tuple[int, ...] = ()
    plots: bool = True
    measurements: bool = True

    @property
    def folder(self) -> Path:
        """Where this run's files go: one folder a store key, so that no run touches another's."""
        return self.results_dir / "runs" / self.case.id / f"{self.key.profile}-{self.key.short}"

    def checkpoint(self) -> Path:
        """Where a long training is kept; one left by a kill is removed if it is not wanted."""
        path = self.folder / "training.pth"
        if self.afresh:
            path.unlink(missing_ok=True)
        return path

    @property
    def group(self) -> str:
        """Cases of one group share resident data and a child process."""
        backbone = MODELS[self.case.entry_name].weights
        return f"{self.case.data} {self.protocol.image_size} {self.protocol.crop} {backbone}"


def blank_record(job: Job) -> Record:
    """A record of a job that has not run."""
    weights = job.inputs.weights
    return Record(
        key=job.key,
        case=asdict(job.case),
        status="ok",
        outcome="ok",
        protocol=job.protocol.as_dict(),
        seed=job.seed,
        fingerprints={
            "weights_file": weights.path.name if weights else "random",
            "weights_sha256": weights.sha256 if weights else "random",
            "data_sha256": job.inputs.data_hash,
            "images": job.inputs.images,
        },
        started=now(),
    )


def failed_record(job: Job, outcome: Outcome, message: str) -> Record:
    """A record of a job that did not finish."""
    record = blank_record(job)
    record.status, record.outcome = "failed", outcome
    record.error = {"message": message}
    record.finished = now()
    return record


def failure(case: Case, key: Key, outcome: Outcome, message: str) -> Record:
    """A record of a case that failed before it became a job."""
    return Record(
        key=key,
        case=asdict(case),
        status="failed",
        outcome=outcome,
        error={"message": message},
        started=now(),
        finished=now(),
    )


def now() -> str:
    """UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
