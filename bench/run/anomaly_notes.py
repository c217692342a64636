"""What of an anomaly case's judgment goes where in its record; every missing number says why."""

import math

from bench.record import Record
from bench.run.evaluate import Evaluation

_INFINITE = "it is infinite, as are the scores it comes from"


def note_figures(record: Record, evaluations: dict[str, Evaluation]) -> None:
    """Put figures, intervals, thresholds and kinds of every head into a record, with reasons.

    Args:
        record: Of the case.
        evaluations: By head.
    """
    for head, found in evaluations.items():
        record.metrics[head] = dict(found.values.metrics)
        record.kinds[head] = dict(found.kinds)
        reasons = dict(found.values.reasons)
        reasons |= {
            f"kind.{kind}": "no normal test image"
            for kind, value in found.kinds.items()
            if math.isnan(value)
        }
        record.reasons |= {f"{head}.{name}": reason for name, reason in reasons.items()}
        record.notes |= {f"{head}.{name}": how for name, how in found.values.notes.items()}
        _note_thresholds(record, head, found)
        _note_interval(record, head, found)


def _note_thresholds(record: Record, head: str, found: Evaluation) -> None:
    thresholds = found.values.thresholds
    record.thresholds[head] = {each.name: each.value for each in thresholds}
    reasons = {each.name: each.reason for each in thresholds}
    record.reasons |= {
        f"{head}.threshold.{name}": reasons.get(name) or _INFINITE
        for name, value in record.thresholds[head].items()
        if value is None or not math.isfinite(value)
    }
    known = set(record.fingerprints.get("thresholds_that_saw_test_labels", ()))
    saw = {each.name for each in thresholds if each.sees_test_labels}
    record.fingerprints["thresholds_that_saw_test_labels"] = sorted(known | saw)


def _note_interval(record: Record, head: str, found: Evaluation) -> None:
    interval = found.image_auroc
    record.intervals[head] = {"image_auroc": [interval.low, interval.high]}
    if math.isnan(interval.low):
        record.reasons[f"{head}.interval.image_auroc"] = interval.reason
    elif interval.reason:
        record.notes[f"{head}.image_auroc"] = interval.reason
