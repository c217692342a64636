"""Evaluation of every head of an anomaly model; every missing number has a reason."""

import math
from typing import Any

import torch
from torch import Tensor

from bench.metrics import SEES_TEST_LABELS
from bench.metrics.anomaly import anomaly_metrics
from bench.metrics.delong import auroc_interval
from bench.metrics.pixels import Method
from bench.metrics.ranking import auroc
from bench.metrics.regions import Regions
from bench.metrics.threshold_rules import every_threshold
from bench.run.predict import HeadPredictions
from bench.run.task import Evaluation
from datasets_lib.batches.image_set import ImageSet

_NO_OVERLAP = "the annotations leave no defective pixel, or no normal one"
_INFINITE = "it is infinite, as are the scores it comes from"


def evaluate_heads(
    test: ImageSet,
    predictions: dict[str, HeadPredictions],
    calibration: dict[str, HeadPredictions] | None,
    regions: Regions | None,
    method: Method = "exact",
    overlaps: dict[str, dict[str, float]] | None = None,
) -> Evaluation:
    """Evaluate raw scores and maps, head by head.

    Args:
        test: Labels, masks and kinds of defect.
        predictions: Predictions of the test set by head.
        calibration: Predictions of normal images that were neither fitted nor tested.
        regions: Connected components of the masks; None without masks.
        method: ``exact`` or ``histogram`` pixel metrics.
        overlaps: Further metrics by head, such as saturated overlaps.
    """
    result = Evaluation({})
    saw_labels: set[str] = set()
    for head, prediction in predictions.items():
        held_out = calibration[head] if calibration else None
        saw_labels |= _evaluate_head(
            *(result, head, test, prediction, held_out, regions, method),
            (overlaps or {}).get(head, {}),
        )
    result.fingerprints["thresholds_that_saw_test_labels"] = sorted(saw_labels)
    return result


def _evaluate_head(
    result: Evaluation,
    head: str,
    test: ImageSet,
    prediction: HeadPredictions,
    held_out: HeadPredictions | None,
    regions: Regions | None,
    method: Method,
    overlaps: dict[str, float],
) -> set[str]:
    """Add one head's numbers; return the threshold rules that saw test labels."""
    scores = held_out.scores if held_out else None
    values = anomaly_metrics(
        prediction.scores,
        prediction.maps,
        test.labels,
        test.masks,
        scores,
        held_out.maps if held_out else None,
        regions,
        method,
    )
    kinds = _auroc_by_kind(prediction.scores, test.defects)
    reasons = dict(values.reasons)
    reasons |= {name: _NO_OVERLAP for name, value in overlaps.items() if math.isnan(value)}
    reasons |= {f"kind.{k}": "no normal test image" for k, v in kinds.items() if math.isnan(v)}
    rules = every_threshold(prediction.scores, test.labels, scores)
    thresholds: dict[str, Any] = {rule.name: rule.value for rule in rules} | values.thresholds
    rule_reasons = {rule.name: rule.reason for rule in rules}
    reasons |= {
        f"threshold.{name}": rule_reasons.get(name) or _INFINITE
        for name, value in thresholds.items()
        if value is None or not math.isfinite(value)
    }
    notes = dict(values.methods)
    interval = auroc_interval(prediction.scores, test.labels)
    if math.isnan(interval.low):
        reasons["interval.image_auroc"] = interval.reason
    elif interval.reason:
        notes["image_auroc"] = interval.reason
    result.metrics[head] = {**values.metrics, **overlaps}
    result.kinds[head] = kinds
    result.thresholds[head] = thresholds
    result.intervals[head] = {"image_auroc": [interval.low, interval.high]}
    result.reasons.update({f"{head}.{name}": reason for name, reason in reasons.items()})
    result.notes.update({f"{head}.{name}": note for name, note in notes.items()})
    saw = {rule.name for rule in rules if rule.sees_test_labels}
    return saw | (SEES_TEST_LABELS & set(values.thresholds))


def _auroc_by_kind(scores: Tensor, defects: tuple[str | None, ...]) -> dict[str, float]:
    """Return the image AUROC of each kind of defect against the normal images."""
    by_kind = {}
    for kind in sorted({kind for kind in defects if kind is not None}):
        chosen = [row for row, defect in enumerate(defects) if defect in {None, kind}]
        labels = torch.tensor([defects[row] is not None for row in chosen])
        by_kind[kind] = auroc(scores[chosen], labels)
    return by_kind
