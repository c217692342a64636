"""Image metrics of an anomaly detector: ranking, and decisions at two thresholds."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from bench.metrics.catalog import Level, UndefinedMetricError
from bench.metrics.inputs import one_class_reason
from bench.metrics.ranking import Ranks, auroc_of, average_precision, rank_positives
from bench.metrics.thresholds import Confusion, Threshold, confusion, every_threshold


@dataclass(frozen=True)
class ImageInputs:
    """What an image metric is computed from; shared parts are computed on first use and kept.

    Attributes:
        scores: ``(N,)`` raw image scores.
        labels: ``(N,)`` booleans or integers; nonzero is defective.
        calibration_scores: ``(M,)`` scores of normal images neither fitted nor tested, or None.

    Example:
        >>> import torch
        >>> scores, calibration = torch.tensor([1.0, 2, 3]), torch.tensor([0.5, 1.5])
        >>> inputs = ImageInputs(scores, torch.tensor([0, 0, 1]), calibration)
        >>> image_auroc(inputs), image_ap(inputs), f1_best(inputs), f1(inputs)
        (1.0, 1.0, 1.0, 0.6666666666666666)
    """

    scores: Tensor
    labels: Tensor
    calibration_scores: Tensor | None = None
    level: Level = "image"

    @cached_property
    def ranks(self) -> Ranks:
        """Every defective image ranked among the normal ones."""
        return rank_positives(self.scores, self.labels)

    @cached_property
    def rules(self) -> dict[str, Threshold]:
        """The threshold of every rule, by its name."""
        thresholds = every_threshold(self.scores, self.labels, self.calibration_scores, self.ranks)
        return {threshold.name: threshold for threshold in thresholds}

    @cached_property
    def calibrated(self) -> Confusion:
        """Decisions at the 95th percentile of the calibration scores."""
        return self._decisions("calibrated_p95")

    @cached_property
    def best(self) -> Confusion:
        """Decisions at the threshold of the highest F1, which *sees the test labels*."""
        return self._decisions("best_f1")

    def thresholds(self) -> tuple[Threshold, ...]:
        """Return the threshold of every rule."""
        return tuple(self.rules.values())

    def _decisions(self, rule: str) -> Confusion:
        threshold = self.rules[rule]
        if math.isnan(threshold.value):
            raise UndefinedMetricError(threshold.reason)
        return confusion(self.scores, self.labels, threshold.value)


def _ranked(metric: Callable[[Ranks], float]) -> Callable[[ImageInputs], float]:
    """Return an image metric from a function of the ranks."""

    def ranked(inputs: ImageInputs) -> float:
        value = metric(inputs.ranks)
        if math.isnan(value):
            raise UndefinedMetricError(
                one_class_reason(inputs.ranks.negatives, len(inputs.ranks.positives))
            )
        return value

    return ranked


def _decided(decisions: str, name: str) -> Callable[[ImageInputs], float]:
    """Return the metric that reads a ratio of the decisions at a threshold."""

    def metric(inputs: ImageInputs) -> float:
        counts: Confusion = getattr(inputs, decisions)
        value: float = getattr(counts, name)
        if math.isnan(value):
            raise UndefinedMetricError(counts.reasons()[name])
        return value

    return metric


image_auroc = _ranked(auroc_of)
image_ap = _ranked(average_precision)

# At the calibrated threshold; see `bench.metrics.thresholds.Confusion` for the formulas.
accuracy = _decided("calibrated", "accuracy")
precision = _decided("calibrated", "precision")
recall = _decided("calibrated", "recall")
f1 = _decided("calibrated", "f1")
false_alarms = _decided("calibrated", "false_alarms")

# At the threshold of the highest F1, which *sees the test labels*.
accuracy_best_f1 = _decided("best", "accuracy")
precision_best_f1 = _decided("best", "precision")
recall_best_f1 = _decided("best", "recall")
f1_best = _decided("best", "f1")
