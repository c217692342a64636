"""The leaderboard's tables of quality and cost."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from bench.aggregate.markdown import (
    EMPTY,
    bold,
    mebibytes,
    metric_text,
    percent,
    quantity,
    scaled,
    seeds,
    table,
)
from bench.aggregate.ranking import Place
from bench.aggregate.reference import Reference
from bench.aggregate.rows import Row
from bench.aggregate.statistics import Estimate
from bench.metrics.catalog import METRICS, Metric

COST_COLUMNS: Mapping[str, tuple[str, Callable[[Estimate | None], str]]] = {
    "train_images_per_s": ("Train images/s", quantity),
    "inference_images_per_s": ("Inference images/s", quantity),
    "latency_p50_ms": ("Latency p50 (ms)", quantity),
    "latency_p95_ms": ("Latency p95 (ms)", quantity),
    "train_rise_host_bytes": ("Host memory, train", mebibytes),
    "train_rise_device_bytes": ("Device memory, train", mebibytes),
    "inference_rise_host_bytes": ("Host memory, inference", mebibytes),
    "inference_rise_device_bytes": ("Device memory, inference", mebibytes),
    "model_bytes": ("Model", mebibytes),
    "parameters": ("Parameters", scaled),
    "trainable_parameters": ("Trainable", scaled),
    "numbers_kept": ("Numbers kept", scaled),
    "inference_flops": ("FLOPs, inference", scaled),
    "train_flops": ("FLOPs, train", scaled),
}
"""Heading and format by measurement; the time to fit has a column only where it was measured."""


def quality_tables(
    placed: Sequence[Place], partial: Sequence[Row], references: Sequence[Reference]
) -> Iterator[str]:
    """Yield a table for each head: ranked rows, the others, incomplete ones, published values.

    Args:
        placed: Rows over the same categories, in order.
        partial: Rows over fewer categories; shown with their number of categories, never ranked.
        references: Published values.
    """
    study = placed[0].row.study
    rows = [*(place.row for place in placed), *partial]
    metrics = study.metrics([record for row in rows for record in row.records])
    if not study.heads:
        yield bold("Quality")
        yield from _quality_table(placed, partial, references, metrics, 0)
        cropped = [place for place in placed if len(place.row.heads) > 1]
        if cropped:
            yield f"{bold('Quality within the center crop')} (does not rank)"
            yield from _quality_table(cropped, (), (), metrics, 1)
    for position, head in enumerate(study.heads):
        ranking = "(this head ranks)" if position == 0 else "(does not rank)"
        yield f"{bold(f'Quality, `{head}`')} {ranking}"
        of_head = [reference for reference in references if reference.head == head]
        yield from _quality_table(placed, partial, of_head, metrics, position)
    yield from _without_rank(placed)


def _without_rank(placed: Sequence[Place]) -> Iterator[str]:
    """Yield why rows have no rank, if any has none."""
    names: dict[str, list[str]] = defaultdict(list)
    for place in placed:
        if place.reasons:
            names["; ".join(place.reasons)].append(place.row.name)
    if names:
        yield "\n".join(f"- No rank, {why}: {', '.join(rows)}" for why, rows in names.items())


def _quality_table(
    placed: Sequence[Place],
    partial: Sequence[Row],
    references: Sequence[Reference],
    metrics: Sequence[Metric],
    position: int,
) -> Iterator[str]:
    """Yield the table of the study's head at ``position``; only the first one ranks."""
    if position > 0:
        placed = sorted(placed, key=lambda place: (not place.ranked, *_descending(place, position)))
    best = [_best(placed, position, metric) for metric in metrics]
    lines = [
        [
            place.rank,
            place.row.label,
            place.row.case.init,
            *_cells(place.row, position, metrics, best if place.ranked else [None] * len(metrics)),
        ]
        for place in placed
    ]
    for row in partial:
        label = f"{row.label} ({len(row.categories)} of the categories)"
        cells = _cells(row, position, metrics, [None] * len(metrics))
        lines.append([EMPTY, label, row.case.init, *cells])
    for number, reference in enumerate(references, start=1):
        values = [_published(reference, metric) for metric in metrics]
        label = f"{reference.model} (reference {number})"
        lines.append(["ref", label, reference.init, *values, EMPTY, "published"])
    headings = ["Rank", "Model", "Init", *map(_heading, metrics), "Own budget", "Seeds"]
    start = 0 if position == 0 else 1  # without ranks, there is no column for them
    yield table(headings[start:], [line[start:] for line in lines], words=range(3 - start))
    if references:
        yield "\n".join(
            line
            for number, reference in enumerate(references, start=1)
            for line in _sources(number, reference)
        )


def _sources(number: int, reference: Reference) -> Iterator[str]:
    """Yield where a published row comes from, and why some of its cells are empty."""
    yield f"- reference {number}: {reference.source}"
    for reason in dict.fromkeys(reference.reasons.values()):
        names = [METRICS[name].heading for name, why in reference.reasons.items() if why == reason]
        yield f"  - without {', '.join(names)}: {reason}"


def cost_table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield speed, memory and size, the speeds with their interval over seeds, and what is missing.

    A column that no row fills is left out and named below.
    """
    fit = [row.measurement("fit_seconds") for row in rows]
    measured = {name: [row.measurement(name) for row in rows] for name in COST_COLUMNS}
    columns = {name: values for name, values in measured.items() if any(values)}
    lines = []
    for position, (row, seconds) in enumerate(zip(rows, fit, strict=True)):
        own = [_images_seen(row), quantity(seconds)] if any(fit) else []
        texts = [COST_COLUMNS[name][1](values[position]) for name, values in columns.items()]
        lines.append([row.label, row.case.init, *own, *texts, seeds(len(row.replicates))])
    headings = ["Model", "Init", *(("Images seen", "Fit (s)") if any(fit) else ())]
    headings += [*(COST_COLUMNS[name][0] for name in columns), "Seeds"]
    yield table(headings, lines, words=(0, 1))
    yield from _without_cost(rows, measured)


def _without_cost(
    rows: Sequence[Row], measured: Mapping[str, Sequence[Estimate | None]]
) -> Iterator[str]:
    """Yield why cells of the cost table are empty, if any are."""
    missing: dict[str, list[str]] = defaultdict(list)
    for name, values in measured.items():
        by_reason: dict[str, list[str]] = defaultdict(list)
        for row, value in zip(rows, values, strict=True):
            if value is None:
                by_reason[_cost_reason(row, name)].append(row.name)
        for reason, names in by_reason.items():
            where = "" if len(names) == len(rows) else f" of {', '.join(names)}"
            missing[reason].append(f"{COST_COLUMNS[name][0]}{where}")
    if missing:
        yield "\n".join(f"- Empty, {why}: {'; '.join(cells)}" for why, cells in missing.items())


def _cost_reason(row: Row, name: str) -> str:
    """Return why a row has no value of a measurement."""
    record = row.records[0]
    if name in record.reasons:
        return record.reasons[name]
    if name.endswith("_device_bytes") and record.environment.get("device") == "cpu":
        return "no device but the CPU"
    if (
        name in {"train_flops", "train_images_per_s"}
        and record.protocol.get("recipe", {}).get("optimizer") == "none"
    ):
        return "no training step"
    if record.measurements.get(name) is not None:
        return "on a machine that others used"
    return "not measured"


def _cells(
    row: Row, position: int, metrics: Sequence[Metric], best: Sequence[str | None]
) -> list[str]:
    cells = []
    count = len(row.replicates) if row.has_randomness else None
    for metric, best_text in zip(metrics, best, strict=True):
        value = row.metric(row.heads[position], metric.name)
        text = metric_text(value, metric, count)
        is_best = value is not None and metric.text(value.mean) == best_text
        cells.append(bold(text) if is_best else text)
    share = row.budget_share
    return [*cells, EMPTY if share is None else percent(share), _seeds(row)]


def _seeds(row: Row) -> str:
    return seeds(len(row.replicates)) if row.has_randomness else "no randomness"


def _best(placed: Sequence[Place], position: int, metric: Metric) -> str | None:
    """Return a column's best mean as shown, if it is a single ranked row's.

    None where another row shows the same, for one value, or where test labels chose something.
    """
    values = [p.row.metric(p.row.heads[position], metric.name) for p in placed if p.ranked]
    means = [value.mean for value in values if value is not None]
    best = metric.best(means)
    if best is None or len(means) < 2 or metric.sees_test_labels:
        return None
    text = metric.text(best)
    return text if sum(metric.text(mean) == text for mean in means) == 1 else None


def _descending(place: Place, position: int) -> tuple[float, str]:
    row = place.row
    metric = row.study.ranking_metric
    value = row.metric(row.heads[position], metric.name)
    return -metric.sort_key(value.mean if value else None), row.name


def _heading(metric: Metric) -> str:
    return metric.heading if metric.unit in {"", "%"} else f"{metric.heading} ({metric.unit})"


def _published(reference: Reference, metric: Metric) -> str:
    value = reference.metrics.get(metric.name)
    return metric_text(None if value is None else Estimate(value, None, 1), metric)


def _images_seen(row: Row) -> str:
    """Return the number of images each run was trained on; a repeated image counts again."""
    counts = {record.fingerprints.get("images_seen") for record in row.records}
    return "–".join(f"{count:,}" for count in sorted(filter(None, counts))) or EMPTY
