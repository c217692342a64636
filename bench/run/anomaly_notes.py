"""What of an anomaly case's judgment goes where in its record; every missing number says why."""

import math

from bench.metrics import SEES_TEST_LABELS
from bench.record import Record
from bench.run.evaluate import Evaluation

_NO_OVERLAP = "the annotations leave no defective pixel, or no normal one"
_INFINITE = "it is infinite, as are the scores it comes from"


def note_figures(
    record: Record, evaluations: dict[str, Evaluation], overlaps: dict[str, dict[str, float]]
) -> None:
    """Put figures, intervals, thresholds and kinds of every head into a record, with reasons.

    Args:
        record: Of the case.
        evaluations: By head.
        overlaps: Saturated overlap by head and metric; empty where the dataset has none.
    """
    for head, found in evaluations.items():
        areas = overlaps.get(head, {})
        record.metrics[head] = {**found.figures.metrics, **areas}
        record.kinds[head] = dict(found.kinds)
        reasons = dict(found.figures.reasons)
        reasons |= {name: _NO_OVERLAP for name, value in areas.items() if math.isnan(value)}
        reasons |= {
            f"kind.{kind}": "no normal test image"
            for kind, value in found.kinds.items()
            if math.isnan(value)
        }
        record.reasons |= {f"{head}.{name}": reason for name, reason in reasons.items()}
        record.notes |= {f"{head}.{name}": how for name, how in found.figures.methods.items()}
        _note_thresholds(record, head, found)
        _note_interval(record, head, found)


def _note_thresholds(record: Record, head: str, found: Evaluation) -> None:
    rules = {rule.name: rule.value for rule in found.thresholds}
    record.thresholds[head] = {**rules, **found.figures.thresholds}
    reasons = {rule.name: rule.reason for rule in found.thresholds}
    record.reasons |= {
        f"{head}.threshold.{name}": reasons.get(name) or _INFINITE
        for name, value in record.thresholds[head].items()
        if value is None or not math.isfinite(value)
    }
    known = set(record.fingerprints.get("thresholds_that_saw_test_labels", ()))
    saw = {rule.name for rule in found.thresholds if rule.sees_test_labels}
    saw |= SEES_TEST_LABELS & set(found.figures.thresholds)
    record.fingerprints["thresholds_that_saw_test_labels"] = sorted(known | saw)


def _note_interval(record: Record, head: str, found: Evaluation) -> None:
    interval = found.image_auroc
    record.intervals[head] = {"image_auroc": [interval.low, interval.high]}
    if math.isnan(interval.low):
        record.reasons[f"{head}.interval.image_auroc"] = interval.reason
    elif interval.reason:
        record.notes[f"{head}.image_auroc"] = interval.reason
