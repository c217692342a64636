"""The cost tables: budgets, sizes, speeds, memory, and what a duration covers."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from bench.aggregate.language import say
from bench.aggregate.markdown import (
    EMPTY,
    fewer_seeds,
    mebibytes,
    percent,
    quantity,
    scaled,
    table,
)
from bench.aggregate.rows import Row
from bench.aggregate.statistics import Estimate
from bench.record import Record
from bench.report import glossary
from bench.report.footnotes import Footnotes

COST_COLUMNS: Mapping[str, tuple[str, Callable[[Estimate | None], str]]] = {
    "fit_seconds": ("Fit (s)", quantity),
    "train_images_per_s": ("Train images/s", quantity),
    "inference_images_per_s": ("Inference images/s", quantity),
    "latency_p50_ms": ("Latency p50 (ms)", quantity),
    "latency_p95_ms": ("Latency p95 (ms)", quantity),
    "train_rise_host_bytes": ("Host memory in training", mebibytes),
    "train_rise_device_bytes": ("Device memory in training", mebibytes),
    "inference_rise_host_bytes": ("Host memory in inference", mebibytes),
    "inference_rise_device_bytes": ("Device memory in inference", mebibytes),
    "model_bytes": ("Model size", mebibytes),
    "parameters": ("Parameters", scaled),
    "trainable_parameters": ("Trainable", scaled),
    "numbers_kept": ("Numbers kept", scaled),
    "inference_flops": ("FLOPs in inference", scaled),
    "train_flops": ("FLOPs in training", scaled),
}
"""Heading and format by measurement."""

_OF_MODEL = (
    *("model_bytes", "parameters", "trainable_parameters"),
    *("numbers_kept", "inference_flops", "train_flops"),
)
"""Measurements of the model itself: those of one seed stand for all."""

_SELF_EVIDENT = ("not measured", "no training step", "no device but the CPU")
"""Reasons that need not be given by measurement where next to nothing was measured."""


def name_of(row: Row) -> str:
    """Return a row's name, with its initialization if that is not the usual one."""
    return row.label if row.case.pretrained or not row.needs_weights else row.name


def seeds_of(row: Row) -> str:
    """Return the number of seeds, or "no randomness"."""
    return say("no randomness") if row.seeds is None else str(row.seeds)


def cost_cell(row: Row, name: str, notes: Footnotes) -> str:
    """Return a row's measurement as text, marked with why it is empty or what is unusual."""
    value = row.measurement(name)
    text = COST_COLUMNS[name][1](value)
    if value is None:
        return text + notes.mark(say("Empty: {why}.", why="; ".join(_cost_reasons(row, name))))
    text += "" if name in _OF_MODEL else fewer_seeds(value, row.seeds)
    unusual = sorted({record.notes[name] for record in row.records if name in record.notes})
    return text + notes.mark(*(f"{note[:1].upper()}{note[1:]}." for note in unusual))


def cost_table(rows: Sequence[Row], notes: Footnotes) -> Iterator[str]:
    """Yield budgets, sizes, speeds and memory of rows, then what was not measured and why.

    A measurement without a value in any row has no column; the budget always has one.
    """
    columns = [name for name in COST_COLUMNS if any(row.measurement(name) for row in rows)]
    counted = any(_images_seen(row) for row in rows)
    lines = []
    for row in rows:
        seen = [_recorded(_images_seen(row), notes)] if counted else []
        cells = [cost_cell(row, name, notes) for name in columns]
        lines.append([name_of(row), _recorded(_budget(row), notes), *seen, *cells, seeds_of(row)])
    budget = notes.term(say("Own budget"), glossary.of_budget())
    headings = [say("Model"), budget, *([say("Images seen")] if counted else [])]
    headings += [notes.term(say(COST_COLUMNS[n][0]), glossary.of_measurement(n)) for n in columns]
    yield table([*headings, say("Seeds")], lines, words=(0,))
    yield from _without_values(rows, columns)


def _without_values(rows: Sequence[Row], columns: Sequence[str]) -> Iterator[str]:
    """Yield which measurements no row has, and why."""
    missing: dict[str, list[str]] = defaultdict(list)
    given: set[str] = set()
    for name in [name for name in COST_COLUMNS if name not in columns]:
        reasons = dict.fromkeys(reason for row in rows for reason in _cost_reasons(row, name))
        given |= reasons.keys()
        missing["; ".join(reasons)].append(say(COST_COLUMNS[name][0]))
    if set(columns) <= {"fit_seconds"} and given <= set(map(say, _SELF_EVIDENT)):
        yield say("Nothing else was measured.")
    elif missing:
        parts = [f"{', '.join(names)} ({why})" for why, names in missing.items()]
        yield say("No values for: {parts}.", parts="; ".join(parts))


def charges_table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield what durations and speeds cover: seconds by part, averaged over the runs of a row."""
    lines = []
    for row in rows:
        names = {name for record in row.records for name in record.charges}
        for name in [name for name in COST_COLUMNS if name in names]:
            charged = [record.charges[name] for record in row.records if name in record.charges]
            parts = dict.fromkeys(part for own in charged for part in own)
            measured = row.measurement(name) is not None
            if measured and len(row.records) == len(charged) and len(parts) > 1:
                means = [sum(own.get(p, 0.0) for own in charged) / len(charged) for p in parts]
                texts = [
                    f"{say(part)} {quantity(Estimate(mean, None, 1))}"
                    for part, mean in zip(parts, means, strict=True)
                ]
                lines.append([name_of(row), say(COST_COLUMNS[name][0]), " + ".join(texts)])
    if lines:
        headings = [say("Model"), say("Number"), say("Seconds that it covers")]
        yield table(headings, lines, words=(0, 1, 2))


def _cost_reasons(row: Row, name: str) -> list[str]:
    """Return why a row has no value of a measurement: the reasons of the runs that lack it."""
    lacking = [line["record"] for line in row.lines if line.get(name) is None]
    if not lacking:
        return [say("no seed has every category")]
    return list(dict.fromkeys(_cost_reason(record, name) for record in lacking))


def _cost_reason(record: Record, name: str) -> str:
    """Return why a run has no value of a measurement."""
    if name in record.reasons:
        return " ".join(record.reasons[name].split())
    if name.endswith("_device_bytes") and record.environment.get("device") == "cpu":
        return say("no device but the CPU")
    if (
        name in {"train_flops", "train_images_per_s"}
        and record.protocol.get("recipe", {}).get("optimizer") == "none"
    ):
        return say("no training step")
    if record.measurements.get(name) is not None:
        if not record.disturbed:
            return say("with another number of threads than most runs")
        hot = record.throttled and not record.shared
        return say("on a thermally throttled machine" if hot else "on a busy machine")
    return say("not measured")


def _budget(row: Row) -> str:
    """Return the share of its own budget that a row had; empty if unknown."""
    share = row.budget_share
    return "" if share is None else percent(share)


def _images_seen(row: Row) -> str:
    """Return how many images each run was trained on, repeated ones included; empty if unknown."""
    counts = {record.fingerprints.get("images_seen") for record in row.records}
    return "–".join(f"{count:,}" for count in sorted(filter(None, counts)))


def _recorded(text: str, notes: Footnotes) -> str:
    """Return the text, or an empty cell with the note that it was not recorded."""
    return text or EMPTY + notes.mark(say("Empty: not recorded."))
