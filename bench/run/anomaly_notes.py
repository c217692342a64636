"""What of an anomaly case's judgement goes where in its record; every missing number says why."""

import math

from bench.metrics import SEES_TEST_LABELS
from bench.record import Record
from bench.run.evaluate import Judged

_NO_OVERLAP = "the annotations leave no defective pixel, or no normal one"
_INFINITE = "it is infinite, as are the scores it comes from"


def note_figures(
    record: Record, judged: dict[str, Judged], overlaps: dict[str, dict[str, float]]
) -> None:
    """Put figures, intervals, thresholds and kinds of every arm into a record, with reasons.

    Args:
        record: Of the case.
        judged: By arm.
        overlaps: Saturated overlap by arm and metric; empty where the dataset has none.
    """
    for arm, found in judged.items():
        areas = overlaps.get(arm, {})
        record.metrics[arm] = {**found.figures.metrics, **areas}
        record.kinds[arm] = dict(found.kinds)
        reasons = dict(found.figures.reasons)
        reasons |= {name: _NO_OVERLAP for name, value in areas.items() if math.isnan(value)}
        reasons |= {
            f"kind.{kind}": "no normal test image"
            for kind, value in found.kinds.items()
            if math.isnan(value)
        }
        record.reasons |= {f"{arm}.{name}": reason for name, reason in reasons.items()}
        record.notes |= {f"{arm}.{name}": how for name, how in found.figures.methods.items()}
        _note_thresholds(record, arm, found)
        _note_interval(record, arm, found)


def _note_thresholds(record: Record, arm: str, found: Judged) -> None:
    rules = {rule.name: rule.value for rule in found.thresholds}
    record.thresholds[arm] = {**rules, **found.figures.thresholds}
    reasons = {rule.name: rule.reason for rule in found.thresholds}
    record.reasons |= {
        f"{arm}.threshold.{name}": reasons.get(name) or _INFINITE
        for name, value in record.thresholds[arm].items()
        if value is None or not math.isfinite(value)
    }
    known = set(record.fingerprints.get("thresholds_that_saw_test_labels", ()))
    saw = {rule.name for rule in found.thresholds if rule.sees_test_labels}
    saw |= SEES_TEST_LABELS & set(found.figures.thresholds)
    record.fingerprints["thresholds_that_saw_test_labels"] = sorted(known | saw)


def _note_interval(record: Record, arm: str, found: Judged) -> None:
    interval = found.image_auroc
    record.intervals[arm] = {"image_auroc": [interval.low, interval.high]}
    if math.isnan(interval.low):
        record.reasons[f"{arm}.interval.image_auroc"] = interval.reason
    elif interval.reason:
        record.notes[f"{arm}.image_auroc"] = interval.reason
