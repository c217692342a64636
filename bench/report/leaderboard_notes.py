"""What the leaderboard says about its own figures: where they come from and what is missing."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bench.protocol import PROFILES
from bench.record import Record
from bench.aggregate.rows import ComparableRuns, recency_key
from bench.studies import table_spec_of
from bench.table_spec import ANOMALY, TABLE_SPECS

_GENERATED = (
    "Generated from the records by `python -m bench leaderboard`; no figure is typed by hand."
)

_FIRST = """\
- Quality is in percent: mean ± half of the 95 % confidence interval over seeds (Student's t). One \
seed has no interval. The best mean of a column is bold."""

_RANK = """\
- Rank: by {ranking} of the `{head}` head. Rows tie (`=`) with the best of their rank \
while their intervals overlap. In brackets: the place of a single seed, whose spread is unknown, \
so that it neither ties nor outranks."""

_OF = {
    "anomaly": """\
- Accuracy, Precision, Recall, F1-Score: at the calibrated threshold, the 95th percentile of the \
scores of held-out normal training images. It has seen no test image.
- "(test-chosen)": at the threshold with the best F1 on the test labels, as the literature does. \
Flattering, and never ranks.""",
    "zoo": """\
- In the zoo's tables every model has the map and the score of its own paper; Reverse \
Distillation's is the sum of all scales. Accuracy and F1 are at the calibrated threshold.
- "(test-chosen)": at the threshold with the best F1 on the test labels; never ranks. Fit: as if \
nothing had been at hand, a frozen backbone's features included.""",
    "classification": """\
- Classifiers are judged as training left them, after the last epoch. Recall, Precision and \
F1-score are means over classes.
- "Top-1 best epoch (test-chosen)": of the epoch with the best top-1 on the test set, as the \
original study reports it. Flattering, and never ranks.""",
}

_RANKING = {"anomaly": "image ROC-AUC", "classification": "top-1 accuracy"}

_LAST = """\
- Reference rows: as published, by the source named below their table, under their own protocol.
- Speed is steady-state. Tables never mix profiles or machines."""

_IDS_SHOWN = 3
_REASON_LENGTH = 200


def how_to_read(records: Sequence[Record]) -> str:
    """What the tables of these records mean."""
    needed = {table_spec_of(record).name for record in records} or {ANOMALY.name}
    lines = [_FIRST]
    for name, shown in TABLE_SPECS.items():
        if name in needed:
            ranking = _RANKING[shown.task]
            lines += [_RANK.format(ranking=ranking, head=shown.heads[0]), _OF[name]]
    return f"{_GENERATED}\n\n" + "\n".join([*lines, _LAST])


def provenance(runs: ComparableRuns) -> str:
    """How a section's numbers came to be."""
    records = runs.records
    indices = sorted({record.case.replicate for record in records})
    actual = sorted({record.seed for record in records if record.seed is not None})
    lines = [
        f"- Runs: {len(records)}, replicates {_ranges(indices)} (seeds {_ranges(actual)})",
        f"- Protocol: {_protocol(records)}",
        *_thresholds([record for record in records if table_spec_of(record).task == "anomaly"]),
        f"- Environment: {_environment(records)}",
    ]
    if profile := PROFILES.get(runs.profile):
        lines.insert(0, f"- Profile: {profile.about}")
    if runs.superseded:
        lines.append(
            f"- Left out: {runs.superseded} older runs of the same configurations under "
            "another recipe, data or weights"
        )
    return "\n".join(lines)


def empty_cells(records: Sequence[Record]) -> Iterator[str]:
    """Why cells of a category are empty, if any are."""
    reasons: dict[str, set[str]] = defaultdict(set)
    for record in records:
        for name, reason in record.reasons.items():
            if name.count(".") < 2:  # further dots: a threshold, an interval, which have no cell
                reasons[reason].add(name)
    if reasons:
        yield "\n".join(
            f"- Empty where {reason}: {', '.join(sorted(metrics))}"
            for reason, metrics in sorted(reasons.items())
        )


def noted_cells(records: Sequence[Record]) -> Iterator[str]:
    """What figures of a category do not mean as usual, if any."""
    notes: dict[str, set[str]] = defaultdict(set)
    for record in records:
        for metric, note in record.notes.items():
            notes[note].add(metric)
    if notes:
        yield "\n".join(f"- {', '.join(sorted(notes[note]))}: {note}" for note in sorted(notes))


def few_test_images(records: Sequence[Record]) -> Iterator[str]:
    """How far the ranking figure of a category's runs may be off for want of test images."""
    shown = table_spec_of(records[0])
    intervals = [
        record.intervals.get(shown.heads[0], {}).get(shown.ranking, [None, None])
        for record in records
    ]
    widths = [50 * (high - low) for low, high in intervals if low is not None and high is not None]
    if widths:
        least, most = f"{min(widths):.2f}", f"{max(widths):.2f}"
        span = least if least == most else f"{least} to {most}"
        yield (
            f"- Other test images alone may move the {shown.ranking_name} of one run by about "
            f"± {span} points (half of its 95 % interval over images); no part of the tables"
        )


def unfinished(records: Iterable[Record]) -> Iterator[str]:
    """The cases whose newest run failed, and those that were only ever skipped."""
    newest: dict[tuple[str, str], Record] = {}
    finished: set[tuple[str, str]] = set()
    for record in sorted(records, key=recency_key):
        place = record.key.profile, record.key.id
        newest[place] = record
        if record.status == "ok":
            finished.add(place)
    reasons: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for (profile, case_id), record in sorted(newest.items()):
        stale = (profile, case_id) in finished
        if record.status == "failed" or (record.status == "skipped" and not stale):
            note = " (figures above: an earlier run)" if stale else ""
            kind = f"{record.status}, {record.outcome}"
            reasons[profile, kind, _reason(record)].append(f"`{case_id}`{note}")
    if reasons:
        count = sum(map(len, reasons.values()))
        yield f"## Not finished: {count} {'case' if count == 1 else 'cases'}"
        yield "\n".join(
            f"- {len(ids)} {kind} (profile `{profile}`): {reason} {_few(ids)}"
            for (profile, kind, reason), ids in reasons.items()
        )


def _reason(record: Record) -> str:
    message = " ".join((record.error or {}).get("message", "no reason was recorded").split())
    if len(message) > _REASON_LENGTH:
        message = message[:_REASON_LENGTH].rstrip() + " …"
    return message


def _few(ids: Sequence[str]) -> str:
    hidden = len(ids) - _IDS_SHOWN
    return ", ".join(ids[:_IDS_SHOWN]) + (f" and {hidden} more" if hidden > 0 else "")


def _protocol(records: Sequence[Record]) -> str:
    budget = _distinct(_budget(record.protocol) for record in records)
    sizes = _distinct(_value(record.protocol, "image_size") for record in records)
    precision = _distinct(_value(record.protocol, "precision") for record in records)
    return f"{sizes} px; {budget}; training in {precision}"


def _budget(protocol: dict[str, Any]) -> str:
    if protocol.get("recipe", {}).get("optimizer") == "none":
        return "one pass"
    if images := protocol.get("images_seen"):
        return f"{images:,} images seen"
    epochs = protocol.get("recipe", {}).get("epochs")
    return f"{epochs} epochs" if epochs else "budget not recorded"


def _value(protocol: dict[str, Any], name: str) -> str:
    return str(protocol.get(name, "unrecorded"))


def _thresholds(records: Sequence[Record]) -> list[str]:
    """Where the thresholds of anomaly detection come from; other tasks have none."""
    if not records:
        return []
    held_out = [bool(record.protocol.get("calibration")) for record in records]
    if all(held_out):
        text = "calibrated on a held-out 10 % of the normal training images, never fitted"
    elif not any(held_out):
        text = "this protocol fits on every normal image, so calibrated columns are empty"
    else:
        text = "calibrated on held-out normal images where the protocol leaves some, else empty"
    return [f"- Thresholds: {text}"]


def _environment(records: Sequence[Record]) -> str:
    names = sorted({name for record in records for name in record.environment} - {"class"})
    parts = [
        f"{name} {_distinct(_value(record.environment, name) for record in records)}"
        for name in names
    ]
    return "; ".join(parts) or "not recorded"


def _distinct(values: Iterable[str]) -> str:
    return " / ".join(sorted(set(values)))


def _ranges(numbers: Sequence[int]) -> str:
    """``0–2, 5`` of sorted integers."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    texts = [f"{run[0]}–{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs]
    return ", ".join(texts) or "unrecorded"
