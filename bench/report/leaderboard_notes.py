"""Notes of the leaderboard: where its values come from and what is missing."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from bench.aggregate.conditions import budget_share
from bench.aggregate.frame import ComparableRuns, recency_key
from bench.aggregate.markdown import percent
from bench.aggregate.ranking import MIN_REPLICATES
from bench.aggregate.rows import Row
from bench.protocol import PROFILES, recorded_shape
from bench.record import Record
from bench.studies import STUDIES, by_study
from bench.study import Study, has_randomness, task_of
from models.catalog import MODELS

_GENERATED = "Generated from the records by `python -m bench leaderboard`; no number is typed in."

_QUALITY = f"""\
- Quality is in percent: mean ± half of the 95 % confidence interval over seeds (Student's t), or \
mean [interval] on the logit scale where ± would leave 0 to 100. One seed has no interval.
- Rank: rows on the same images and test images, evaluated at the same size, after all of their \
own budget. A model with randomness needs {MIN_REPLICATES} replicates; one without has no spread. \
Rows tie (`=`) with the best of their rank while their intervals overlap. Rows without a rank \
follow, and the reason is below the table.
- Bold: the best mean of the ranked rows, where no other shows the same.
- Own budget: the share that a run had of the training its recipe asks for."""

_OF_TASK = {
    "anomaly": """\
- Accuracy, Precision, Recall, F1: at the calibrated threshold, the 95 % quantile of the scores of \
held-out normal training images. It has seen no test image. False alarms: the share of normal test \
images above it; 5 % were meant.
- Models that see a center crop: the map is pasted back into the frame, and what the crop cut away \
counts as missed.
- Numbers kept: parameters and buffers of the checkpoint, without the frozen backbone.
- "(test-chosen)": at the threshold with the best F1 on the test labels, as in the literature. It \
flatters, is never bold and never ranks.
- Fit: the time from data to a finished model, including the features of a frozen backbone even \
where they came from a cache.""",
    "classification": """\
- Classifiers are evaluated after the last epoch. Macro precision, recall and F1 are means over \
classes.
- "Top-1 best epoch (test-chosen)": the epoch with the best top-1 on the test set, as the original \
study reports it. It flatters, is never bold and never ranks.""",
}

_LAST = """\
- Reference rows: as published by the source named below their table, under its own protocol.
- Memory is the rise over model and batch in place. Speed is steady-state; that of a run which \
others disturbed is left out. Tables never mix profiles or machines."""

_OLDER = "the interpolated 95th percentile, which lets more normal images through"

_IDS_SHOWN = 3
_REASON_LENGTH = 200


def how_to_read(records: Sequence[Record]) -> str:
    """Return the meaning of the tables of these records."""
    studies = [STUDIES[name] for name in by_study(records)]
    lines = [_QUALITY]
    for study in studies:
        head = f"the `{study.heads[0]}` head" if study.heads else "each model's first head"
        heading = study.ranking_metric.heading
        lines.append(f"- Study `{study.name}` ranks by {heading} of {head}.")
    tasks = {study.task for study in studies}
    lines += [text for task, text in _OF_TASK.items() if task in tasks]
    return f"{_GENERATED}\n\n" + "\n".join([*lines, _LAST])


def provenance(runs: ComparableRuns) -> str:
    """Return how a section's values were obtained."""
    records = runs.records
    indices = sorted({record.case.replicate for record in records})
    actual = sorted({record.seed for record in records if record.seed is not None})
    lines = [
        f"- Runs: {len(records)}, replicates {_ranges(indices)} (seeds {_ranges(actual)})",
        f"- Protocol: {_protocol(records)}",
        *_thresholds([record for record in records if task_of(record) == "anomaly"]),
        f"- Environment: {_environment(records)}",
    ]
    if profile := PROFILES.get(runs.profile):
        lines.insert(0, f"- Profile: {profile.describe()}")
    lines.insert(0, f"- {kind_of_runs(runs)}")
    if runs.superseded:
        lines.append(
            f"- Left out: {runs.superseded} other runs of the same configurations under "
            "another recipe, data or weights"
        )
    return "\n".join(lines)


def kind_of_runs(runs: ComparableRuns) -> str:
    """Return in a sentence or two what the runs of a section can say, and what they cannot."""
    records = runs.records
    shares = [share for r in records if (share := budget_share(r)) is not None]
    replicates = {record.case.replicate for record in records}
    limits = []
    if scratch := sum(not r.case.pretrained and _has_weights(r) for r in records):
        every = "all" if scratch == len(records) else f"{scratch} of {len(records)}"
        limits.append(f"{every} from random weights in place of pretrained ones")
    if short := [share for share in shares if share < 1]:
        least = percent(min(short))
        limits.append(f"{len(short)} of {len(records)} trained for part of their budget ({least})")
    if len(replicates) == 1 and any(has_randomness(r.case) for r in records):
        limits.append("one replicate each")
    if runs.profile == "smoke":
        opening = "A smoke run shows that everything works, in minutes; it measures no model"
        return f"{opening}: {', '.join(limits)}." if limits else f"{opening}."
    if limits:
        return f"To be read with care: {', '.join(limits)}."
    return "Every run had its whole budget."


def _has_weights(record: Record) -> bool:
    entry = MODELS.get(record.case.model)
    return entry is not None and entry.weights is not None


def empty_cells(rows: Sequence[Row]) -> Iterator[str]:
    """Yield why cells of a category's rows are empty, if any are."""
    reasons: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        for record in row.records:
            for name, reason in record.reasons.items():
                # No dot: a measurement; two: a threshold or an interval, which has no cell.
                if name.count(".") == 1:
                    reasons[f"Empty where {reason}"].add(name)
    metrics = rows[0].study.metrics([record for row in rows for record in row.records])
    unrecorded: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        for head in row.heads:
            for name in _unexplained(row, head, [metric.name for metric in metrics]):
                unrecorded[f"{head}.{name}" if name else head].append(row.name)
    for name, names in unrecorded.items():
        where = "any row" if len(names) == len(rows) > 1 else ", ".join(sorted(names))
        reasons[f"Not recorded for {where}"].add(name)
    if reasons:
        yield "\n".join(
            f"- {reason}: {', '.join(sorted(names))}" for reason, names in sorted(reasons.items())
        )


def _unexplained(row: Row, head: str, metrics: Sequence[str]) -> Iterator[str]:
    """Yield the metrics of a head that no record has nor explains; ``""`` for the whole head."""
    if not any(head in record.metrics for record in row.records):
        yield ""
        return
    for name in metrics:
        explained = any(f"{head}.{name}" in record.reasons for record in row.records)
        if not explained and not row.values(f"{head}.{name}"):
            yield name


def noted_cells(records: Sequence[Record]) -> Iterator[str]:
    """Yield what is unusual about values of a category, if anything is."""
    notes = sorted({(note, name) for record in records for name, note in record.notes.items()})
    if notes:
        yield "\n".join(
            f"- {', '.join(name for _, name in group)}: {note}"
            for note, group in groupby(notes, itemgetter(0))
        )


def interval_width(study: Study, records: Sequence[Record]) -> Iterator[str]:
    """Yield how far the ranking metric of a run may be off because test images are few."""
    metric = study.ranking_metric
    widths = []
    for record in records:
        of_head = record.intervals.get(study.heads_of(record)[0], {})
        low, high = of_head.get(metric.name, [None, None])
        if low is not None and high is not None:
            widths.append(metric.scale * (high - low) / 2)
    if widths:
        span = " to ".join(sorted({f"{width(widths):.2f}" for width in (min, max)}, key=float))
        yield (
            f"- Other test images alone could move the {metric.heading} of a run by about ± {span} "
            "points (half of its 95 % interval over images); the tables leave this out"
        )


def without_study(records: Iterable[Record]) -> Iterator[str]:
    """Yield the finished cases that no registered study selects, and so no table shows."""
    models = Counter(
        record.case.model
        for record in records
        if record.status == "ok" and not any(s.shows(record) for s in STUDIES.values())
    )
    if models:
        names = ", ".join(f"`{name}` ({count})" for name, count in sorted(models.items()))
        yield (
            "## In no table\n\nNo registered study selects the runs of these models, so load the "
            f"plugin that registers them: {names}."
        )


def unfinished(records: Iterable[Record]) -> Iterator[str]:
    """Yield the cases whose newest run failed, and those that were only ever skipped."""
    ordered = sorted(records, key=recency_key)
    newest = {(record.key.profile, record.key.id): record for record in ordered}
    finished = {(r.key.profile, r.key.id) for r in ordered if r.status == "ok"}
    reasons: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for (profile, case_id), record in sorted(newest.items()):
        stale = (profile, case_id) in finished
        if record.status == "failed" or (record.status == "skipped" and not stale):
            note = " (values above: an earlier run)" if stale else ""
            kind = f"{record.status}, {record.outcome}"
            reasons[profile, kind, _reason(record)].append(f"`{case_id}`{note}")
    if reasons:
        count = sum(map(len, reasons.values()))
        yield f"## Not finished: {count} {'case' if count == 1 else 'cases'}"
        yield "\n".join(
            f"- {len(ids)} {kind} (profile `{profile}`): {reason} {_some(ids)}"
            for (profile, kind, reason), ids in reasons.items()
        )


def _reason(record: Record) -> str:
    message = " ".join((record.error or {}).get("message", "no reason was recorded").split())
    if len(message) > _REASON_LENGTH:
        message = message[:_REASON_LENGTH].rstrip() + " …"
    return message


def _some(ids: Sequence[str]) -> str:
    hidden = len(ids) - _IDS_SHOWN
    return ", ".join(ids[:_IDS_SHOWN]) + (f" and {hidden} more" if hidden > 0 else "")


def _protocol(records: Sequence[Record]) -> str:
    budget = _distinct(_budget(record.protocol) for record in records)
    shapes = {recorded_shape(record.protocol)[1] for record in records}
    plain = {shape for shape in shapes if shape.endswith(" px")}
    squares = [f"{_distinct(shape.removesuffix(' px') for shape in plain)} px"] if plain else []
    sizes = " / ".join([*squares, *sorted(shapes - plain)])
    precision = _distinct(_value(record.protocol, "precision") for record in records)
    return f"{sizes}; {budget}; training in {precision}"


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
    """Return where the thresholds of anomaly detection come from; other tasks have none."""
    if not records:
        return []
    held_out = [record for record in records if record.protocol.get("calibration")]
    if not held_out:
        text = "this protocol fits on every normal image, so calibrated columns are empty"
    else:
        rules = Counter(str(r.fingerprints.get("calibrated_by", _OLDER)) for r in held_out)
        which = "; ".join(
            rule if len(rules) == 1 else f"{rule} ({count} runs)"
            for rule, count in sorted(rules.items())
        )
        where = "a held-out 10 % of the normal training images, never fitted"
        if len(held_out) < len(records):
            where = "held-out normal images where the protocol leaves some, else empty"
        text = f"calibrated on {where}: {which}"
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
    """Return ``0–2, 5`` for the sorted integers 0, 1, 2 and 5."""
    # Consecutive numbers have the same difference to their position.
    groups = groupby(enumerate(numbers), lambda item: item[1] - item[0])
    runs = [[number for _, number in group] for _, group in groups]
    texts = [f"{run[0]}–{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs]
    return ", ".join(texts) or "unrecorded"
