"""A record: what happened when a case ran. One JSON object a line; every result lives here alone.

The object's fields are those of `Record`, in that order; ``schema`` counts incompatible changes.
Numbers that do not exist are ``null`` with their reason under ``reasons``.
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from bench.case import Case

SCHEMA = 1

Status = Literal["ok", "failed", "skipped"]
Outcome = Literal[
    "ok", "crash", "oom", "nan", "timeout", "data", "weights", "disk", "device", "interrupted"
]


class RecordError(ValueError):
    """A line is not a record of this schema."""


@dataclass(frozen=True)
class Key:
    """What makes two runs the same run; a finished key is not run again."""

    id: str
    profile: str
    recipe: str
    data: str
    weights: str

    @property
    def short(self) -> str:
        """Sixteen hex digits over all of it."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:16]


@dataclass
class Record:
    """One run of one case.

    Attributes:
        schema: Version of this layout.
        key: Case id, profile and the hashes of recipe, data and weights.
        case: What was run.
        status: ``ok``, ``failed`` or ``skipped``.
        outcome: ``ok``, or what went wrong.
        protocol: The resolved recipe: every constant that decided the run.
        seed: The seed used.
        metrics: Metric by scoring head: ``{"single_scale": {"image_auroc": 0.98}}``; the first
            head ranks.
        reasons: Why a number is null: ``{"single_scale.pixel_auroc": "no masks"}``; of what is no
            metric ``head.threshold.rule``, ``head.interval.metric`` and ``head.kind.name``.
        intervals: 95 % interval over images by head and metric, ``[low, high]``: how far the figure
            may be off for want of test images; the spread over seeds is another thing. Of
            ``image_auroc`` DeLong's, normal on the logit scale, where no note names another; of
            ``top1`` Wilson's score interval.
        kinds: Image AUROC of each kind of defect beside the normal images, by head.
        thresholds: Threshold by head and rule, on raw scores; which of the rules look at the labels
            they are judged on is listed in ``fingerprints["thresholds_that_saw_test_labels"]``.
        measurements: Speed, memory, size: units are in the names (``_ms``, ``_bytes``,
            ``_images_per_s``).
        samples: Steady-state samples in seconds: ``inference_step``, ``latency``, ``train_step``.
        curve: Training loss: ``[[images seen, loss], …]``.
        epochs: A figure of the test set after every pass, where passes are judged:
            ``[[images seen, top-1], …]``; it chooses nothing.
        notes: What a figure that exists does not mean as usual, by its name as in ``reasons``.
        environment: Names of device, libraries and versions.
        fingerprints: Longer provenance: weights file and sha256, counts of images.
        timings: Seconds by phase.
        artifacts: Paths of pictures, scores and model, relative to the results folder.
        error: ``{"message": …}`` of a case that did not finish.
        started: UTC, ISO 8601.
        finished: UTC, ISO 8601.
    """

    key: Key
    case: Case
    status: Status
    outcome: Outcome
    protocol: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    metrics: dict[str, dict[str, float | None]] = field(default_factory=dict)
    intervals: dict[str, dict[str, list[float | None]]] = field(default_factory=dict)
    kinds: dict[str, dict[str, float | None]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    thresholds: dict[str, dict[str, float | None]] = field(default_factory=dict)
    measurements: dict[str, float | None] = field(default_factory=dict)
    samples: dict[str, list[float]] = field(default_factory=dict)
    curve: list[list[float]] = field(default_factory=list)
    epochs: list[list[float]] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    fingerprints: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)
    error: dict[str, str] | None = None
    started: str = ""
    finished: str = ""
    schema: int = SCHEMA

    def to_json(self) -> str:
        """One line of JSON, without NaN or infinity (written as null)."""
        return json.dumps(_finite(asdict(self)), allow_nan=False)


def from_json(line: str) -> Record:
    """The record a line holds.

    Raises:
        RecordError: The line is not JSON, of another schema, or lacks a field.
    """
    try:
        data = json.loads(line)
    except json.JSONDecodeError as error:
        raise RecordError(f"not JSON: {error}") from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else type(data).__name__
        raise RecordError(f"wanted a record of schema {SCHEMA}, found {found!r}")
    known = {f.name for f in fields(Record)}
    if unknown := set(data) - known:
        raise RecordError(f"unknown fields {sorted(unknown)}")
    try:
        return Record(**{**data, "key": Key(**data["key"]), "case": Case(**data["case"])})
    except (KeyError, TypeError) as error:
        raise RecordError(f"incomplete record: {error}") from None


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
