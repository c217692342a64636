"""A record: what happened when a case ran. Every result lives in records alone.

A record is one line of JSON with the fields of `Record`; ``schema`` counts incompatible changes.
Numbers that do not exist are ``null``, with their reason under ``reasons``.
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
    "ok",
    "crash",
    "oom",
    "nan",
    "timeout",
    "data",
    "recipe",
    "weights",
    "disk",
    "device",
    "interrupted",
]


CROP_SUFFIX = "_crop"
"""Suffix of a head whose domain is the model's center crop alone; the head itself is evaluated over
the full frame."""


class RecordError(ValueError):
    """A line is not a record of this schema."""


@dataclass(frozen=True)
class Key:
    """What makes two runs the same run; a case with a finished key is not run again."""

    id: str
    profile: str
    recipe: str
    data: str
    weights: str

    @property
    def short(self) -> str:
        """Return sixteen hex digits over all fields."""
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:16]


@dataclass
class Record:
    """One run of one case.

    Attributes:
        schema: Version of this layout.
        key: Case id, profile and the hashes of recipe, data and weights.
        case: The case that was run.
        status: ``ok``, ``failed`` or ``skipped``.
        outcome: ``ok``, or what went wrong.
        protocol: The resolved recipe: every constant that decided the run.
        seed: The seed.
        metrics: Metrics by head: ``{"single_scale": {"image_auroc": 0.98}}``.
        categories: Metrics of each category by head, of a model for all categories, whose
            ``metrics`` are their means; empty for other cases. Names of its intervals, kinds and
            thresholds begin with ``category.``.
        reasons: Why a number is null, by ``head.metric``, ``head.threshold.rule``,
            ``head.interval.metric``, ``head.kind.name`` or ``head.category.name.metric``.
        intervals: 95 % confidence interval over test images by head and metric, ``[low, high]``;
            the spread over seeds is separate. ``image_auroc`` has DeLong's interval, normal
            on the logit scale unless a note says otherwise; ``top1`` has Wilson's.
        outcomes: What each test image adds to a metric, by head and metric, packed as text by
            `bench.metrics.outcomes`: two runs on the same images can be paired by their records.
        kinds: Image AUROC of each kind of defect against the normal images, by head.
        sizes: Image AUROC of the defective images of each quarter by area of their defects, ``q1``
            the smallest, against the normal images, by head.
        thresholds: Thresholds on raw scores by head and rule; the rules that look at test labels
            are listed in ``fingerprints["thresholds_that_saw_test_labels"]``.
        measurements: Speed, memory and size, with units in the names (``_ms``, ``_bytes``,
            ``_images_per_s``); see `bench.run.measure.profile.measure`.
        charges: What a duration covers, or a batch of a speed: seconds by part, by measurement.
        samples: Steady-state samples in seconds: ``inference_step``, ``latency``, ``train_step``.
        curve: Training loss: ``[[images seen, loss], …]``.
        epochs: A test metric after every pass, where passes are evaluated; it chooses nothing:
            ``[[images seen, top-1], …]``.
        notes: What is unusual about a number that exists, by the names used in ``reasons``.
        environment: Device, libraries and versions; ``exclusive`` and ``busy`` say whether others
            used the device or the processors during the run, ``throttled`` whether heat slowed
            them. What the machine does not tell is absent.
        code: ``hash`` of the code that the case depends on, ``commit`` and whether it was
            ``dirty``; empty in records of earlier versions, null where unknown.
        asked: Whether ``measurements``, ``pictures``, saved ``models``, ``panels``, all ``maps``
            and ``exact`` pixel metrics were wanted; some are absent in records of earlier versions.
        fingerprints: Longer provenance: weights file and sha256, numbers of images, and of test
            images that are copies of others.
        timings: Seconds by phase.
        artifacts: Paths of plots, scores and model, relative to the results folder.
        error: ``{"message": …}`` of a case that did not finish.
        started: Start in UTC, ISO 8601.
        finished: End in UTC, ISO 8601.
    """

    key: Key
    case: Case
    status: Status
    outcome: Outcome
    protocol: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    metrics: dict[str, dict[str, float | None]] = field(default_factory=dict)
    categories: dict[str, dict[str, dict[str, float | None]]] = field(default_factory=dict)
    intervals: dict[str, dict[str, list[float | None]]] = field(default_factory=dict)
    outcomes: dict[str, dict[str, str]] = field(default_factory=dict)
    kinds: dict[str, dict[str, float | None]] = field(default_factory=dict)
    sizes: dict[str, dict[str, float | None]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    thresholds: dict[str, dict[str, float | None]] = field(default_factory=dict)
    measurements: dict[str, float | None] = field(default_factory=dict)
    charges: dict[str, dict[str, float]] = field(default_factory=dict)
    samples: dict[str, list[float]] = field(default_factory=dict)
    curve: list[list[float]] = field(default_factory=list)
    epochs: list[list[float]] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    code: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, bool] = field(default_factory=dict)
    fingerprints: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)
    error: dict[str, str] | None = None
    started: str = ""
    finished: str = ""
    schema: int = SCHEMA

    @property
    def shared_data(self) -> str:
        """Return the hash of data that a case's replicates share.

        Each replicate of a few-shot case has training images of its own: it is the first one's.
        """
        if not self.case.shots or self.case.replicate == 0:
            return self.key.data
        if shared := self.fingerprints.get("first_data_sha256"):
            return str(shared)
        # A run from before replicates had their own images repeats the first: it stands alone.
        return hashlib.sha256(f"{self.key.data} repeated".encode()).hexdigest()

    @property
    def shared_images(self) -> str:
        """Return the hash of images that replicates share; empty where it was not recorded."""
        hashes = self.fingerprints
        return str(hashes.get("first_images_sha256") or hashes.get("images_sha256") or "")

    @property
    def disturbed(self) -> bool:
        """Return whether others or heat slowed the device or processors, so speeds never rank."""
        return self.shared or self.throttled

    @property
    def shared(self) -> bool:
        """Return whether others used the device or the processors."""
        return self.environment.get("exclusive") is False or self.environment.get("busy") is True

    @property
    def throttled(self) -> bool:
        """Return whether the device or the processors slowed themselves down: they were hot."""
        return self.environment.get("throttled") is True

    def thresholds_of(self, head: str, category: str) -> dict[str, float | None]:
        """Return a head's thresholds: all, or those of one category, without its name."""
        return of_category(self.thresholds.get(head, {}), category)

    def to_json(self) -> str:
        """Return one line of JSON, with null in place of NaN and infinity."""
        return json.dumps(_finite(asdict(self)), allow_nan=False)


def of_category(values: dict[str, Any], category: str) -> dict[str, Any]:
    """Return the values of a category, without its name; all for the empty name.

    >>> of_category({"bottle.best_f1": 0.4, "cable.best_f1": 0.7}, "cable")
    {'best_f1': 0.7}
    """
    prefix = f"{category}." if category else ""
    return {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}


_FIELDS = frozenset(each.name for each in fields(Record))


def from_json(line: str) -> Record:
    """Return the record of a line.

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
    if unknown := data.keys() - _FIELDS:
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
