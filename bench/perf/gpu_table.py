"""The table of `bench.perf.gpu_session`: a row per planned case, next to another machine's runs."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tabulate import tabulate

from bench.aggregate.frame import recency_key
from bench.case import Case
from bench.record import Record
from bench.recorded_protocol import ADDED_FIELDS
from bench.study import first_head
from models.catalog import Recipe

NOT_RUN = "not run"
"""Outcome of a planned case without a record."""

QUALITY = {"image_auroc": "Image AUROC", "pixel_auroc": "Pixel AUROC"}

_RECIPE_DEFAULTS = json.loads(json.dumps(asdict(Recipe("none", source=""))))
_NOT_COMPARED = ("precision", "source", "changed")
"""The training precision comes from the machine; the others only tell where values come from."""


def session_table(
    cases: Iterable[Case],
    records: Iterable[Record],
    others: Sequence[Record] | None,
    bound: Mapping[str, float],
    device: str,
) -> str:
    """Return a table with a row per planned case, and below it which runs could not be compared.

    Args:
        cases: The planned cases in order.
        records: The session's records; the newest of a case counts.
        others: Another machine's records; None without such a machine.
        bound: Images/s of the bare training step by model.
        device: ``cuda`` or ``cpu``.
    """
    newest = {record.key.id: record for record in sorted(records, key=recency_key)}
    rows: list[dict[str, Any]] = []
    finished: list[Record] = []
    for case in cases:
        record = newest.get(case.id)
        row: dict[str, Any] = {"Model": case.model, "Outcome": NOT_RUN}
        if record:
            row["Outcome"] = record.outcome
            row |= _speeds(record, bound.get(case.model), device) | _quality(record, others)
            finished += [record] if record.status == "ok" else []
        rows.append(row)
    text = tabulate(rows, headers="keys", tablefmt="pipe", floatfmt=".4g")
    return text if others is None else f"{text}\n\n{comparison_note(finished, others)}"


def comparison_note(finished: Sequence[Record], others: Sequence[Record]) -> str:
    """Return how many finished runs have a run of the same work, and why the rest have none."""
    pairs = [(record, same_run(record, others)) for record in finished]
    precisions = [
        record.protocol.get("precision") != other.protocol.get("precision")
        for record, other in pairs
        if other
    ]
    head = f"there: runs of the same work for {len(precisions)} of {len(finished)} finished models"
    head += f", {sum(precisions)} of them in another training precision" if any(precisions) else ""
    reasons = Counter(why_none(record, others) for record, other in pairs if other is None)
    return "\n".join([head, *(f"* {count} empty: {why}" for why, count in reasons.most_common())])


def same_run(record: Record, others: Iterable[Record]) -> Record | None:
    """Return the newest of other finished runs that did the same work; None if none did."""
    same = (other for other in _of_case(record, others) if not differences(record, other))
    return next(same, None)


def why_none(record: Record, others: Iterable[Record]) -> str:
    """Say why no other run did the same work, by what is different in the most similar one."""
    named = [differences(record, other) for other in _of_case(record, others)]
    if not named:
        return "no finished run of the case"
    fewest: list[str] = min(named, key=len)
    return f"its run differs in {', '.join(fewest)}"


def differences(record: Record, other: Record) -> list[str]:
    """Return the names of what made two runs of a case different work; empty for the same work.

    The training precision does not count: it is the machine's default.
    """
    own, theirs = _work(record), _work(other)
    return [name for name in own | theirs if own.get(name) != theirs.get(name)]


def _work(record: Record) -> dict[str, Any]:
    """Return what a run was asked to do; fields added later have their earlier meaning."""
    key, recipe = record.key, record.protocol.get("recipe", {})
    protocol = {name: value for name, value in record.protocol.items() if name != "recipe"}
    work = {"profile": key.profile, "data": key.data, "weights": key.weights}
    work |= {**_RECIPE_DEFAULTS, **recipe, **ADDED_FIELDS, **protocol}
    return {name: value for name, value in work.items() if name not in _NOT_COMPARED}


def _of_case(record: Record, others: Iterable[Record]) -> list[Record]:
    """Return the finished runs of a record's case, the newest first."""
    of_case = [other for other in others if other.key.id == record.key.id and other.status == "ok"]
    return sorted(of_case, key=recency_key, reverse=True)


def _speeds(record: Record, bare: float | None, device: str) -> dict[str, Any]:
    measured = record.measurements
    trained = measured.get("train_images_per_s_cached")
    on = "host" if device == "cpu" else "device"
    memory = measured.get(f"train_rise_{on}_bytes") or measured.get(f"inference_rise_{on}_bytes")
    return {
        "Training, images/s": trained,
        "of the bare step": trained / bare if trained and bare else None,
        "Fit, s": measured.get("fit_seconds"),
        "Inference, images/s": measured.get("inference_images_per_s"),
        "Latency, ms": measured.get("latency_p50_ms"),
        "Memory rise, GB": memory / 1e9 if memory else None,
    }


def _quality(record: Record, others: Sequence[Record] | None) -> dict[str, Any]:
    """Return a run's AUROCs, each followed by that of the same work on another machine."""
    other = same_run(record, others or ())
    cells: dict[str, Any] = {}
    for metric, heading in QUALITY.items():
        cells[heading] = _metric(record, metric)
        if others is not None:
            cells[f"{heading} there"] = _metric(other, metric) if other else None
    return cells


def _metric(record: Record, name: str) -> float | None:
    return record.metrics.get(first_head(record), {}).get(name)
