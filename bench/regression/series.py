"""What is compared over time: the values of one configuration under the same conditions."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from bench.metrics.catalog import METRICS
from bench.record import CROP_SUFFIX, Record
from bench.recorded_protocol import describe_shape
from bench.study import has_randomness

Kind = Literal["quality", "speed", "memory"]

_SPEEDS = {"inference_images_per_s": True, "train_images_per_s": True, "latency_p50_ms": False}
"""Watched speeds, and whether higher is better."""

_AT_A_THRESHOLD = {"accuracy", "precision", "recall", "f1", "false_alarms"}
"""Metrics at a threshold, which jump by several points between seeds as the threshold does."""


@dataclass(frozen=True)
class Series:
    """Conditions that runs must share to be compared; replicates and commits differ.

    The recipe is not among them: a learning rate changed by mistake is a regression, and one
    changed on purpose is accepted with ``python -m bench accept``.

    Attributes:
        configuration: Case id without its replicate.
        profile: Profile of the runs.
        budget: Image size, precision, training budget, and fit and tiles where they are not the
            default.
        data: Hash of the data that replicates share.
        weights: Hash of the backbone's weights, or ``random``.
        machine: Environment class; for a CPU with its number of threads.
    """

    configuration: str
    profile: str
    budget: str
    data: str
    weights: str
    machine: str

    def differences(self, other: "Series") -> list[str]:
        """Return the names of the conditions that differ."""
        mine, theirs = asdict(self), asdict(other)
        return [name for name in mine if mine[name] != theirs[name]]


@dataclass(frozen=True)
class Quantity:
    """One watched value of a run.

    >>> Quantity("score.image_auroc").kind, Quantity("latency_p50_ms").higher_is_better
    ('quality', False)

    Attributes:
        name: ``head.metric``, or the name of a measurement.
    """

    name: str

    @property
    def kind(self) -> Kind:
        """Return whether it is a quality, a speed or a memory size."""
        if "." in self.name:
            return "quality"
        return "memory" if self.name.endswith("_bytes") else "speed"

    @property
    def higher_is_better(self) -> bool:
        """Return whether higher is better, which is assumed for metrics without an entry."""
        if self.kind == "quality":
            metric = METRICS.get(self.name.rpartition(".")[2])
            return metric is None or metric.higher_is_better
        return _SPEEDS.get(self.name, False)

    def loss(self, base: float, value: float) -> float:
        """Return how much worse a value is than a base.

        The loss of a quality is a difference, that of a speed or memory size a share of the base.
        """
        worse = base - value if self.higher_is_better else value - base
        return worse if self.kind == "quality" else worse / abs(base) if base else math.inf

    def text(self, value: float) -> str:
        """Return a value with its unit.

        >>> Quantity("score.image_auroc").text(0.98), Quantity("train_rise_host_bytes").text(2**21)
        ('98.00 %', '2.0 MiB')
        """
        if self.kind == "memory":
            return f"{value / 2**20:.1f} MiB"
        if self.kind == "speed":
            unit = "images/s" if self.name.endswith("_images_per_s") else "ms"
            return f"{value:.4g} {unit}"
        metric = METRICS.get(self.name.rpartition(".")[2])
        return f"{metric.text(value)} {metric.unit}".strip() if metric else f"{value:.4f}"

    def loss_text(self, loss: float) -> str:
        """Return a loss as reported: percentage points of a quality, else a percentage."""
        return f"{100 * loss:+.2f} {'points' if self.kind == 'quality' else '%'}"


def series_of(record: Record) -> Series:
    """Return the conditions of a record."""
    protocol, environment = record.protocol, record.environment
    seen = protocol.get("images_seen")
    budget = [f"{protocol.get('image_size')} px", str(protocol.get("precision", "float32"))]
    budget += [f"{seen} images seen"] if seen else []
    fit, tiles = protocol.get("fit", "squash"), protocol.get("tiles")
    shape = describe_shape(None, fit, tuple(tiles) if tiles else None, protocol.get("overlap", 0))
    budget += [shape] if shape else []
    machine = str(environment.get("class", "unknown"))
    if str(environment.get("device", "cpu")) == "cpu" and "threads" in environment:
        machine += f" | {environment['threads']} threads"
    return Series(
        configuration=record.case.configuration,
        profile=record.key.profile,
        budget=", ".join(budget),
        data=record.shared_data[:16],
        weights=record.key.weights[:16],
        machine=machine,
    )


def values_of(record: Record) -> dict[str, float]:
    """Return the watched values of a finished record by quantity name.

    Metrics whose threshold saw test labels are left out. Others at a threshold are watched only if
    equal code gives equal values.
    """
    fixed = not has_randomness(record.case)
    values = {
        f"{head}.{name}": value
        for head, metrics in record.metrics.items()
        if not head.endswith(CROP_SUFFIX)
        for name, value in metrics.items()
        if _watched(name, fixed) and value is not None
    }
    return values | _measured(record.measurements)


def why_missing(record: Record, quantity: str) -> str:
    """Return why a finished record has no value of a watched quantity; empty if that is no loss.

    It is no loss if the value is 0, if no measurements were requested, or if no such metric is
    registered anymore.
    """
    if Quantity(quantity).kind == "quality":
        head, _, metric = quantity.rpartition(".")
        value = record.metrics.get(head, {}).get(metric)
        wanted = _watched(metric, not has_randomness(record.case))
    else:
        value = record.measurements.get(quantity)
        wanted = record.asked.get("measurements", True)
    if value is not None or not wanted:
        return ""
    return record.reasons.get(quantity) or "its record has no such value"


def _watched(name: str, fixed: bool) -> bool:
    metric = METRICS.get(name)
    if metric is None or metric.sees_test_labels or metric.column == "csv":
        return False
    return fixed or (metric.unit == "%" and name not in _AT_A_THRESHOLD)


def _measured(measurements: Mapping[str, float | None]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in measurements.items()
        if value and (name in _SPEEDS or name.endswith("_bytes"))
    }
