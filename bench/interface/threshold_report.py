"""The report on thresholds: what each rule decides, and which of them saw test labels."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from bench.metrics.thresholds import Confusion

_NONE = "–"

_TITLES = {
    "f1_percentile": "F1 (Percentile)",
    "f1_uniform": "F1 (Uniform)",
    "youden_j": "ROC (Youden J)",
    "normal_p95": "Percentile (95%)",
}
"""The rules of the first part, which choose by the test labels; in its order."""


@dataclass(frozen=True, eq=False)
class Scores:
    """The contents of a report, for one head and category.

    Attributes:
        scores: ``(N,)`` raw scores of the test images.
        labels: ``(N,)`` bool, True for defects.
        metrics: Metrics by name, of which ``image_auroc`` and ``image_ap`` are shown.
        thresholds: Thresholds by rule.
        note: What is unusual about the calibrated threshold; empty if nothing is.
        held_out: Number of normal images that calibrated it.
    """

    scores: "Tensor"
    labels: "Tensor"
    metrics: Mapping[str, float | None]
    thresholds: Mapping[str, float | None]
    note: str = ""
    held_out: int = 0


def threshold_report(result: Scores) -> str:
    """Return the report of one head and category, line by line."""
    by_f1 = max(("f1_percentile", "f1_uniform"), key=lambda rule: _f1(result, rule))
    counts = _confusion(result, by_f1)
    lines = [
        "=== Image-level Results ===",
        f"AUROC: {_both(result.metrics.get('image_auroc'))}",
        f"AUPR: {_both(result.metrics.get('image_ap'))}",
        "",
        "=== Thresholds ===",
        *(
            f"{_TITLES[rule]}: {_value(result.thresholds.get(rule))} | F1: {_f1_text(result, rule)}"
            for rule in ("f1_percentile", "f1_uniform")
        ),
        f"{_TITLES['youden_j']}: {_value(result.thresholds.get('youden_j'))} | {_rates(result)}",
        f"{_TITLES['normal_p95']}: {_value(result.thresholds.get('normal_p95'))}",
        "",
        "=== Confusion Matrix (F1 Threshold) ===",
        *_matrix(counts),
        "",
        "=== Which Thresholds Saw Test Labels ===",
        f"{', '.join(_TITLES.values())}: chosen by the labels of these test images,",
        "to compare with the literature; expect worse on new images. The confusion matrix above",
        f"is at {_TITLES[by_f1]}.",
        *_calibrated(result),
    ]
    return "\n".join(lines) + "\n"


def _calibrated(result: Scores) -> list[str]:
    value = result.thresholds.get("calibrated_p95")
    if value is None:
        return ["Calibrated: none, because no normal image was held out of training."]
    counts = _confusion(result, "calibrated_p95")
    few = f" ({result.note})" if result.note else ""
    return [
        f"Calibrated (95%): {_value(value)} | from {result.held_out} normal images held out of "
        f"training; saw no test label{few}",
        "",
        "=== Confusion Matrix (Calibrated Threshold) ===",
        *_matrix(counts),
        f"F1: {_number(counts.f1)}, False alarms: {_number(counts.false_alarms)}",
    ]


def _confusion(result: Scores, rule: str) -> "Confusion":
    from bench.metrics.thresholds import Confusion, confusion

    threshold = result.thresholds.get(rule)
    if threshold is None:
        return Confusion(0, 0, 0, 0)
    return confusion(result.scores, result.labels, threshold)


def _matrix(counts: "Confusion") -> list[str]:
    return [
        f"TP={counts.true_positives}, FN={counts.false_negatives}, "
        f"TN={counts.true_negatives}, FP={counts.false_positives}",
        f"Accuracy: {_number(counts.accuracy)}, Precision: {_number(counts.precision)}, "
        f"Recall: {_number(counts.recall)}",
    ]


def _rates(result: Scores) -> str:
    counts = _confusion(result, "youden_j")
    specificity = 1 - counts.false_alarms
    return f"Sensitivity: {_number(counts.recall)}, Specificity: {_number(specificity)}"


def _f1(result: Scores, rule: str) -> float:
    f1 = _confusion(result, rule).f1
    return -1.0 if math.isnan(f1) else f1


def _f1_text(result: Scores, rule: str) -> str:
    return _number(_confusion(result, rule).f1)


def _both(value: float | None) -> str:
    return _NONE if value is None else f"{value:.3f} ({100 * value:.1f}%)"


def _number(value: float) -> str:
    return _NONE if math.isnan(value) else f"{value:.3f}"


def _value(value: float | None) -> str:
    """Return a threshold with three decimals, or three digits where it is below a tenth."""
    if value is None:
        return _NONE
    return f"{value:.3f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3g}"
