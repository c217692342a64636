"""Evaluation of every head of an anomaly model; every missing number has a reason."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from bench.metrics.defect_size import auroc_by_area
from bench.metrics.delong import auroc_interval
from bench.metrics.evaluation import MetricValues, anomaly_metrics
from bench.metrics.outcomes import pack_scores
from bench.metrics.pixels import Method, SaturatedRegions
from bench.metrics.ranking import auroc
from bench.metrics.regions import Regions
from bench.metrics.thresholds import COVERAGE, Threshold, false_alarm_bound
from bench.rounding import at_most
from bench.run.predict import HeadPredictions
from bench.run.task import Evaluation
from datasets_lib.batches.image_set import ImageSet

_INFINITE = "it is infinite, as are the scores it comes from"

CALIBRATION_RULE = "the conformal 95 % quantile"
"""How a calibrated threshold is chosen; records made with another rule name that one."""


def evaluate_heads(
    test: ImageSet,
    predictions: dict[str, HeadPredictions],
    calibration: dict[str, HeadPredictions] | None,
    regions: Regions | None,
    method: Method = "exact",
    saturated: SaturatedRegions | None = None,
    notes: Sequence[str] = (),
) -> Evaluation:
    """Evaluate raw scores and maps, head by head.

    Args:
        test: Labels, masks and kinds of defect.
        predictions: Predictions of the test set by head.
        calibration: Predictions of normal images that were neither fitted nor tested.
        regions: Connected components of the masks; None without masks.
        method: ``exact`` or ``histogram`` pixel metrics.
        saturated: Annotated regions with saturations, for datasets that have them.
        notes: What is unusual about the test set; empty ones are left out.
    """
    evaluation = Evaluation({})
    saw_test_labels: set[str] = set()
    for head, prediction in predictions.items():
        held_out = calibration[head] if calibration else None
        values = anomaly_metrics(
            prediction.scores,
            prediction.maps,
            test.labels,
            test.masks,
            held_out.scores if held_out else None,
            held_out.maps if held_out else None,
            regions,
            method,
            saturated,
        )
        own = _head_evaluation(head, test, prediction.scores, values, held_out, regions, notes)
        evaluation = evaluation.merged(own)
        saw_test_labels |= {rule.name for rule in values.thresholds if rule.sees_test_labels}
    evaluation.fingerprints["thresholds_that_saw_test_labels"] = sorted(saw_test_labels)
    if calibration:
        evaluation.fingerprints["calibrated_by"] = CALIBRATION_RULE
    return evaluation


def _head_evaluation(
    head: str,
    test: ImageSet,
    scores: Tensor,
    values: MetricValues,
    held_out: HeadPredictions | None,
    regions: Regions | None,
    notes: Sequence[str],
) -> Evaluation:
    """Return one head's metrics, by kind and size too, with intervals, reasons and notes."""
    kinds = _auroc_by_kind(scores, test.defects)
    interval = auroc_interval(scores, test.labels)
    evaluation = Evaluation(
        metrics={head: values.metrics},
        intervals={head: {"image_auroc": [interval.low, interval.high]}},
        outcomes={
            head: {"image_auroc": pack_scores(scores.cpu().numpy(), test.labels.cpu().numpy())}
        },
        kinds={head: kinds},
        thresholds={head: {rule.name: rule.value for rule in values.thresholds}},
    )
    reasons = values.reasons | _threshold_reasons(values.thresholds)
    reasons |= {f"kind.{k}": "no normal test image" for k, v in kinds.items() if math.isnan(v)}
    about = dict(values.notes) | _threshold_notes(held_out)
    unusual = list(notes)
    if math.isnan(interval.low):
        reasons["interval.image_auroc"] = interval.reason
    else:
        unusual.append(interval.reason)
    about |= _joined("image_auroc", unusual)
    if regions is not None:
        about |= _joined("aupro_30", [about.get("aupro_30", ""), _vanished(test, regions)])
        sizes, areas = auroc_by_area(scores, test.labels, regions)
        evaluation.sizes[head] = sizes
        evaluation.fingerprints["defect_areas"] = areas
        why = "no normal test image, or no defect of that size"
        reasons |= {f"size.{k}": why for k, v in sizes.items() if math.isnan(v)}
    evaluation.reasons.update({f"{head}.{name}": why for name, why in reasons.items()})
    evaluation.notes.update({f"{head}.{name}": note for name, note in about.items()})
    return evaluation


def _joined(name: str, notes: Sequence[str]) -> dict[str, str]:
    text = "; ".join(filter(None, notes))
    return {name: text} if text else {}


def _threshold_notes(held_out: HeadPredictions | None) -> dict[str, str]:
    """Return the false-alarm rate that a threshold from few held-out images implies."""
    count = 0 if held_out is None else len(held_out.scores)
    bound = false_alarm_bound(count) if count else 0
    if bound <= 1 - COVERAGE:
        return {}
    images = "1 held-out image" if count == 1 else f"{count} held-out images"
    text = f"the largest score of {images}: expect up to {at_most(bound)} false alarms, not 5 %"
    return {"threshold.calibrated_p95": text}


def _vanished(test: ImageSet, regions: Regions) -> str:
    """Return how many defective images have no defect pixel at the size of evaluation."""
    empty = int((test.labels.cpu() & (regions.offsets.diff() == 0)).sum())
    side = regions.shape[-1]
    defective = int(test.labels.sum())
    return (
        f"{empty} of {defective} defective images have an empty mask at {side} px: pixel metrics "
        "leave their defects out"
        if empty
        else ""
    )


def _threshold_reasons(thresholds: tuple[Threshold, ...]) -> dict[str, str]:
    return {
        f"threshold.{rule.name}": rule.reason or _INFINITE
        for rule in thresholds
        if rule.value is None or not math.isfinite(rule.value)
    }


def _auroc_by_kind(scores: Tensor, defects: tuple[str | None, ...]) -> dict[str, float]:
    """Return the image AUROC of each kind of defect against the normal images."""
    by_kind = {}
    for kind in sorted({kind for kind in defects if kind is not None}):
        chosen = [row for row, defect in enumerate(defects) if defect in {None, kind}]
        labels = torch.tensor([defects[row] is not None for row in chosen])
        by_kind[kind] = auroc(scores[chosen], labels)
    return by_kind
