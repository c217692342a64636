"""What anomaly detection and classification do differently; `bench.run.case` does the rest."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bench.record import Record
from bench.run.device_data import DeviceData
from bench.run.job import Job, ProgressCallback
from bench.run.measure.profile import ProfileTarget
from bench.run.training.loop import TrainingResult
from models.components.base import AnomalyModel, Classifier

ByHead = dict[str, dict[str, Any]]
Model = AnomalyModel | Classifier


@dataclass(frozen=True)
class Evaluation:
    """Results of a trained model on the test set; the fields are those of a `Record`."""

    metrics: ByHead
    categories: dict[str, ByHead] = field(default_factory=dict)
    intervals: ByHead = field(default_factory=dict)
    outcomes: ByHead = field(default_factory=dict)
    kinds: ByHead = field(default_factory=dict)
    sizes: ByHead = field(default_factory=dict)
    thresholds: ByHead = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    fingerprints: dict[str, Any] = field(default_factory=dict)

    def merged(self, other: "Evaluation") -> "Evaluation":
        """Return this and another evaluation as one; their heads have different names."""
        return Evaluation(**{name: own | getattr(other, name) for name, own in vars(self).items()})


class Task(ABC):
    """The steps of one case, called in the order of their definition.

    Args:
        job: The case.
        device: Where it runs.
        device_data: Data of the group of cases, kept between cases.
        progress: Called with the phase and its progress.

    Attributes:
        fingerprints: Provenance that the steps collect for the record.
    """

    def __init__(
        self, job: Job, device: torch.device, device_data: DeviceData, progress: ProgressCallback
    ) -> None:
        self.job, self.device, self.device_data = job, device, device_data
        self.progress = progress
        self.fingerprints: dict[str, Any] = {}

    @abstractmethod
    def load(self) -> None:
        """Read the images, or find them resident."""

    @abstractmethod
    def build(self) -> Model:
        """Return the model on its device, drawn from the job's seed."""

    def prepare(self, model: Model) -> None:  # noqa: B027 - optional
        """Compute what training and evaluation share, such as features of a frozen backbone."""

    @abstractmethod
    def train(self, model: Model) -> TrainingResult:
        """Train the model; its predictions are checked against the contract first."""

    @abstractmethod
    def predict(self, model: Model) -> Any:
        """Return predictions of the test set."""

    @abstractmethod
    def evaluate(self, predictions: Any, trained: TrainingResult) -> Evaluation:
        """Return the evaluation of the predictions."""

    @abstractmethod
    def write_files(self, model: Model, predictions: Any, record: Record) -> dict[str, Path]:
        """Write scores and, where plots are wanted, plots; return paths by artifact name."""

    @abstractmethod
    def checkpoint_fields(self, predictions: Any, record: Record) -> dict[str, Any]:
        """Return the fields of a saved model's `Metadata` that are specific to the task."""

    def fit_parts(self, trained: TrainingResult) -> dict[str, float]:
        """Return the cold-equivalent seconds of the fit by part; none where it is not compared."""
        return {}

    @abstractmethod
    def profile_target(self, model: Model) -> ProfileTarget:
        """Return what is measured, and on which images."""
