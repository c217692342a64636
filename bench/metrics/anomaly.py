"""All figures of one anomaly prediction, each a number or ``nan`` with its reason."""

import math
from dataclasses import dataclass, field

from torch import Tensor

from bench.metrics.ranking import auroc, defective
from bench.metrics.thresholds import (
    Confusion,
    best_f1_threshold,
    calibrated_threshold,
    confusion,
)

PERCENTILE = 95.0


@dataclass
class AnomalyMetrics:
    """Figures by name.

    Attributes:
        metrics: ``image_auroc``, ``pixel_auroc``; ``accuracy``, ``precision``, ``recall``, ``f1``
            at the calibrated threshold; ``accuracy_best_f1``, ``precision_best_f1``,
            ``recall_best_f1``, ``f1_best`` at the one that saw test labels.
        reasons: Why a figure is ``nan``, by its name.
        thresholds: ``calibrated_p95`` and ``best_f1``, on raw scores.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)


def evaluate(
    scores: Tensor,
    maps: Tensor | None,
    labels: Tensor,
    masks: Tensor | None,
    calibration_scores: Tensor | None,
) -> AnomalyMetrics:
    """Judge a model's predictions of a test set.

    Args:
        scores: ``(N,)`` raw image scores.
        maps: ``(N, H, W)`` raw maps, or None.
        labels: ``(N,)`` booleans or integers; nonzero is defective.
        masks: ``(N, H, W)`` booleans or integers at the maps' size, or None.
        calibration_scores: ``(M,)`` scores of normal images neither fitted nor tested, or None.

    Raises:
        ValueError: A score is NaN, or shapes or dtypes do not fit.
    """
    result = AnomalyMetrics()
    positives = int(defective(labels).sum())
    one_class = (
        f"one class only: {labels.numel() - positives} normal and {positives} defective images"
        if positives in {0, labels.numel()}
        else ""
    )
    _put(result, "image_auroc", auroc(scores, labels), one_class)
    _pixel_auroc(result, maps, masks)

    missing = calibration_scores is None or not calibration_scores.numel()
    calibrated = (
        float("nan")
        if calibration_scores is None or missing
        else calibrated_threshold(calibration_scores, PERCENTILE)
    )
    _decide(result, scores, labels, calibrated, "", "no calibration split")
    result.thresholds["calibrated_p95"] = calibrated

    best = best_f1_threshold(scores, labels)
    _decide(result, scores, labels, best, "_best_f1", one_class)
    result.thresholds["best_f1"] = best
    return result


def _pixel_auroc(result: AnomalyMetrics, maps: Tensor | None, masks: Tensor | None) -> None:
    if maps is None:
        _put(result, "pixel_auroc", float("nan"), "the model gives no maps")
    elif masks is None:
        _put(result, "pixel_auroc", float("nan"), "the dataset has no masks")
    else:
        only = "no" if not bool(masks.any()) else "every"
        _put(
            result, "pixel_auroc", auroc(maps, masks), f"one class only: {only} pixel is defective"
        )


def _decide(
    result: AnomalyMetrics,
    scores: Tensor,
    labels: Tensor,
    threshold: float,
    suffix: str,
    without_threshold: str,
) -> None:
    """Put the four figures of one threshold, or say why there is no threshold."""
    undecided = math.isnan(threshold)
    counts = Confusion(0, 0, 0, 0) if undecided else confusion(scores, labels, threshold)
    reasons = counts.reasons()
    for name in ("accuracy", "precision", "recall", "f1"):
        full = "f1_best" if suffix and name == "f1" else name + suffix
        reason = without_threshold if undecided else reasons.get(name, "")
        _put(result, full, getattr(counts, name), reason)


def _put(result: AnomalyMetrics, name: str, value: float, reason: str) -> None:
    result.metrics[name] = value
    if math.isnan(value):
        result.reasons[name] = reason
