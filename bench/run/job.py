"""A job: a case with everything it needs found and named, ready to travel to a child process."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.case import Case
from bench.environment import expected
from bench.protocol import Protocol
from bench.provenance.commit import Commit
from bench.provenance.currency import Wanted
from bench.provenance.fingerprint import Fingerprint
from bench.record import Key, Outcome, Record
from bench.settings import Settings
from datasets_lib.discover import FoundDataset
from datasets_lib.entry import Reader
from datasets_lib.layouts.category import Sample
from models.catalog import MODELS
from models.components.weights import ResolvedWeights

ProgressCallback = Callable[[str, dict[str, Any]], None]
"""Reports a running case: ``progress(phase, {"step": 3, "steps": 40, "loss": .1})``."""


class CaseSkipped(Exception):
    """Weights, data, labels or a device are missing; the message says which and how to get them.

    Args:
        message: The message.
        missing: What is missing, as in `bench.needs.Missing`; empty for anything else.
        why: Why it was not downloaded, as a clause, or where it was looked for.
    """

    def __init__(self, message: str, missing: str = "", why: str = "") -> None:
        super().__init__(message)
        self.missing, self.why = missing, why


class RecipeError(Exception):
    """A model cannot be built from its recipe and the session's options; the message says why."""


class WeightsError(Exception):
    """Weights exist but cannot be used; the message says what does not fit."""


@dataclass(frozen=True)
class Inputs:
    """What an anomaly case reads.

    Attributes:
        fit: Images to train on: normal ones, plus labeled defects for a supervised model.
        calibration: Held-out normal images for the threshold; may be empty.
        test: Images to evaluate on.
        has_masks: Whether every defective test image has a mask, by category; the name is empty
            for a case of one category.
        data_hash: Hash over names and contents of all of these and of the set of textures.
        images_hash: Hash without the textures: equal for models that are trained and evaluated on
            the same images.
        weights: The backbone's weights, or None for a case from scratch.
        held_out: Names of the images in ``fit`` that are kept from training, for models that
            calibrate on some.
        supervised: Whether ``fit`` holds defects.
        textures: Dataset of auxiliary images; None where the model takes none or procedural
            textures are used.
        categories: Categories that one model is trained on, whose names begin those of the samples;
            empty for a case of one category.
        remark: What is unusual about the images; empty if nothing is.
        copied: Number of test images that equal one of the others, byte for byte.
        first_hashes: ``data_sha256`` and ``images_sha256`` of the first replicate, for another one
            of a few-shot case, whose training images differ; empty for other cases.
    """

    fit: tuple[Sample, ...]
    calibration: tuple[Sample, ...]
    test: tuple[Sample, ...]
    has_masks: Mapping[str, bool]
    data_hash: str
    images_hash: str
    weights: ResolvedWeights | None
    held_out: frozenset[str] = frozenset()
    supervised: bool = False
    textures: FoundDataset | None = None
    categories: tuple[str, ...] = ()
    remark: str = ""
    copied: int = 0
    first_hashes: Mapping[str, str] = field(default_factory=dict)

    @property
    def images(self) -> dict[str, int]:
        """Return the number of images by split."""
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
        root: Folder of the dataset; any path for an embedded one.
        reader: Reader of the dataset.
        images: Number of images by split.
        data_hash: Hash over names, contents and labels of all images.
        weights: The network's weights, or None for a case from scratch.
        remark: What is unusual about the images; empty if nothing is.
        copied: Number of test images that equal a training image, byte for byte.
    """

    root: Path
    reader: Reader
    images: dict[str, int]
    data_hash: str
    weights: ResolvedWeights | None
    remark: str = ""
    copied: int = 0

    @property
    def images_hash(self) -> str:
        """Return the hash of the images that runs must share to be compared."""
        return self.data_hash


@dataclass(frozen=True)
class Job:
    """One case to run.

    Attributes:
        case: What to run.
        protocol: Recipe and budget.
        inputs: Data and weights.
        key: Key under which the record is stored.
        seed: Seed of the run.
        settings: Options of the session.
        code: Fingerprint of the code that the case depends on.
        commit: Commit that the code comes from.
        layers: Layers of the same backbone that cases of the session tap.
    """

    case: Case
    protocol: Protocol
    inputs: Inputs | LabeledInputs
    key: Key
    seed: int
    settings: Settings
    code: Fingerprint
    commit: Commit
    layers: tuple[int, ...] = ()

    @property
    def folder(self) -> Path:
        """Return the folder of the run's files: one per store key, so that runs never mix."""
        return self.settings.runs_dir / self.case.id / f"{self.key.profile}-{self.key.short}"

    @property
    def checkpoint(self) -> Path:
        """Return the path of the training checkpoint that a killed run leaves."""
        return self.folder / "training.pth"

    @property
    def origin(self) -> str:
        """Return what a training checkpoint must come from to be resumed: the code and device."""
        return f"{self.code.hash} {self.settings.device.partition(':')[0]}"

    @property
    def group(self) -> str:
        """Return a key that is equal for cases that share resident data and a child process."""
        backbone = MODELS[self.case.model].weights
        plan = self.protocol
        shape = f"{plan.image_size} {plan.crop} {plan.fit} {plan.tiles} {plan.overlap}"
        return f"{self.case.data} {shape} {backbone}"

    @property
    def wanted(self) -> Wanted:
        """Return what a finished record must match to be valid for this job."""
        device = self.settings.device
        recipe = json.loads(json.dumps(self.protocol.as_dict()["recipe"]))
        return Wanted(self.code, device, expected(device), self.settings.asked, recipe)

    def record(self, **fields: Any) -> Record:
        """Return a record of this job with the given fields."""
        weights = self.inputs.weights
        fingerprints = {
            "weights_file": weights.path.name if weights else "random",
            "weights_sha256": weights.sha256 if weights else "random",
            "data_sha256": self.inputs.data_hash,
            "images_sha256": self.inputs.images_hash,
            "images": self.inputs.images,
            **({"copied_test_images": self.inputs.copied} if self.inputs.copied else {}),
            **self._first_hashes,
            **({"bits": self.settings.bits} if self.settings.bits != 16 else {}),
            **({"split_by": self.settings.split_by} if self.settings.split_by else {}),
            **fields.pop("fingerprints", {}),
        }
        if self.inputs.remark:
            fields["notes"] = {**fields.get("notes", {}), "data": self.inputs.remark}
        return Record(
            key=self.key,
            case=self.case,
            protocol=self.protocol.as_dict(),
            seed=self.seed,
            fingerprints=fingerprints,
            code={"hash": self.code.hash, **asdict(self.commit)},
            asked=self.settings.asked,
            **{"status": "ok", "outcome": "ok", "finished": now(), **fields},
        )

    @property
    def _first_hashes(self) -> dict[str, str]:
        """Return the hashes that tell which replicates of a few-shot case belong together."""
        if isinstance(self.inputs, LabeledInputs):
            return {}
        return {f"first_{name}": value for name, value in self.inputs.first_hashes.items()}

    def failed_record(self, outcome: Outcome, message: str, **fields: Any) -> Record:
        """Return a record of a run that did not finish."""
        fields.setdefault("started", now())
        error = {"message": message}
        return self.record(status="failed", outcome=outcome, **{"error": error, **fields})


def seed_of(case: Case, base: int | None) -> int:
    """Return the seed of a case's run.

    Args:
        case: The case.
        base: Seed of the first replicate; None for that of the model's catalog entry.
    """
    return (MODELS[case.model].seed_base if base is None else base) + case.replicate


def unresolved_record(case: Case, key: Key, outcome: Outcome, message: str) -> Record:
    """Return a record of a case that failed before it became a job."""
    return Record(
        key=key,
        case=case,
        status="failed",
        outcome=outcome,
        error={"message": message},
        started=now(),
        finished=now(),
    )


def now() -> str:
    """Return the time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
