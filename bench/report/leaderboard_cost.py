"""The cost tables: sizes, speeds, memory, and what a duration covers."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from bench.aggregate.language import say
from bench.aggregate.markdown import EMPTY, mebibytes, percent, quantity, scaled, table
from bench.aggregate.rows import Row
from bench.aggregate.statistics import Estimate
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


def name_of(row: Row) -> str:
    """Return a row's name, with its initialization if that is not the usual one."""
    return row.label if row.case.pretrained or not row.needs_weights else row.name


def seeds_of(row: Row) -> str:
    """Return a row's number of seeds, or that it has no randomness."""
    return str(len(row.replicates)) if row.has_randomness else say("no randomness")


def cost_table(rows: Sequence[Row], notes: Footnotes) -> Iterator[str]:
    """Yield sizes, speeds and memory of rows, then what was not measured anywhere and why.

    A measurement without a value in any row has no column; without columns there is no table.
    """
    columns = [name for name in COST_COLUMNS if any(row.measurement(name) for row in rows)]
    fit = any(row.measurement("fit_seconds") for row in rows)
    lines = []
    for row in rows:
        cells = [_images_seen(row)] if fit else []
        for name in columns:
            value = row.measurement(name)
            reason = say("Empty: {why}.", why=_cost_reason(row, name)) if value is None else ""
            cells.append(COST_COLUMNS[name][1](value) + notes.mark(reason))
        share = row.budget_share
        lines.append(
            [name_of(row), EMPTY if share is None else percent(share), *cells, seeds_of(row)]
        )
    budget = notes.term(say("Own budget"), glossary.of_budget())
    headings = [say("Model"), budget, *([say("Images seen")] if fit else [])]
    headings += [notes.term(say(COST_COLUMNS[n][0]), glossary.of_measurement(n)) for n in columns]
    if columns:
        yield table([*headings, say("Seeds")], lines, words=(0,))
    missing: dict[str, list[str]] = defaultdict(list)
    for name in [name for name in COST_COLUMNS if name not in columns]:
        reasons = dict.fromkeys(_cost_reason(row, name) for row in rows)
        missing["; ".join(reasons)].append(say(COST_COLUMNS[name][0]))
    reasons_given = {why for reasons in missing for why in reasons.split("; ")}
    if not columns and reasons_given <= {say("not measured"), say("no training step")}:
        yield say("None of it was measured.")
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


def _cost_reason(row: Row, name: str) -> str:
    """Return why a row has no value of a measurement."""
    record = row.records[0]
    if name in record.reasons:
        return record.reasons[name]
    if name.endswith("_device_bytes") and record.environment.get("device") == "cpu":
        return say("no device but the CPU")
    if (
        name in {"train_flops", "train_images_per_s"}
        and record.protocol.get("recipe", {}).get("optimizer") == "none"
    ):
        return say("no training step")
    if record.measurements.get(name) is not None:
        return say("on a machine that others used")
    return say("not measured")


def _images_seen(row: Row) -> str:
    """Return the number of images each run was trained on; a repeated image counts again."""
    counts = {record.fingerprints.get("images_seen") for record in row.records}
    return "–".join(f"{count:,}" for count in sorted(filter(None, counts))) or EMPTY
