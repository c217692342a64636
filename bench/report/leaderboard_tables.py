"""The leaderboard's tables of quality and cost."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from bench.aggregate.markdown import (
    EMPTY,
    bold,
    mebibytes,
    metric_text,
    quantity,
    scaled,
    seeds,
    table,
)
from bench.aggregate.reference import Reference
from bench.aggregate.rows import Row, ranks
from bench.aggregate.statistics import Estimate
from bench.metrics.catalog import Metric

COST_COLUMNS: Mapping[str, tuple[str, Callable[[Estimate | None], str]]] = {
    "train_images_per_s": ("Train images/s", quantity),
    "inference_images_per_s": ("Inference images/s", quantity),
    "latency_p50_ms": ("Latency p50 (ms)", quantity),
    "latency_p95_ms": ("Latency p95 (ms)", quantity),
    "peak_host_bytes": ("Peak host memory", mebibytes),
    "peak_device_bytes": ("Peak device memory", mebibytes),
    "parameters": ("Parameters", scaled),
    "trainable_parameters": ("Trainable", scaled),
    "inference_flops": ("FLOPs, inference", scaled),
    "train_flops": ("FLOPs, train", scaled),
}
"""Heading and format by measurement; the time to fit has a column only where it was measured."""


def quality_tables(
    rows: Sequence[Row], partial: Sequence[Row], references: Sequence[Reference]
) -> Iterator[str]:
    """Yield a table for each head: the best first, then incomplete rows, then published values.

    Args:
        rows: Comparable rows, the best first.
        partial: Rows over fewer categories; shown with their number of categories, never ranked.
        references: Published values.
    """
    study = rows[0].study
    metrics = study.metrics([record for row in (*rows, *partial) for record in row.records])
    if not study.heads:
        yield bold("Quality")
        yield from _quality_table(rows, partial, references, metrics, 0)
    for position, head in enumerate(study.heads):
        ranking = "(this head ranks)" if position == 0 else "(does not rank)"
        yield f"{bold(f'Quality, `{head}`')} {ranking}"
        of_head = [reference for reference in references if reference.head == head]
        yield from _quality_table(rows, partial, of_head, metrics, position)


def _quality_table(
    rows: Sequence[Row],
    partial: Sequence[Row],
    references: Sequence[Reference],
    metrics: Sequence[Metric],
    position: int,
) -> Iterator[str]:
    """Yield the table of the study's head at ``position``; only the first one ranks."""
    labels = ranks(rows)
    if position > 0:
        labels = [EMPTY] * len(rows)
        rows = sorted(rows, key=lambda row: _descending(row, position))
    best = [_best(rows, position, metric) for metric in metrics]
    lines = [
        [rank, row.label, row.case.init, *_cells(row, position, metrics, best)]
        for rank, row in zip(labels, rows, strict=True)
    ]
    for row in partial:
        label = f"{row.label} ({len(row.cells)} of the categories)"
        cells = _cells(row, position, metrics, [None] * len(metrics))
        lines.append([EMPTY, label, row.case.init, *cells])
    for number, reference in enumerate(references, start=1):
        values = [_published(reference, metric) for metric in metrics]
        label = f"{reference.model} (reference {number})"
        lines.append(["ref", label, reference.init, *values, "published"])
    headings = ["Rank", "Model", "Init", *map(_heading, metrics), "Seeds"]
    start = 0 if position == 0 else 1  # without ranks, there is no column for them
    yield table(headings[start:], [line[start:] for line in lines], words=range(3 - start))
    if references:
        yield "\n".join(
            f"- reference {number}: {reference.source}"
            for number, reference in enumerate(references, start=1)
        )


def cost_table(rows: Sequence[Row]) -> str:
    """Return speed, memory and size; the speeds with their interval over seeds."""
    fit = [row.measurement("fit_seconds") for row in rows]
    lines = []
    for row, seconds in zip(rows, fit, strict=True):
        own = [_images_seen(row), quantity(seconds)] if any(fit) else []
        texts = [text(row.measurement(name)) for name, (_, text) in COST_COLUMNS.items()]
        lines.append([row.label, row.case.init, *own, *texts, seeds(len(row.replicates))])
    headings = ["Model", "Init", *(("Images seen", "Fit (s)") if any(fit) else ())]
    headings += [*(heading for heading, _ in COST_COLUMNS.values()), "Seeds"]
    return table(headings, lines, words=(0, 1))


def _cells(
    row: Row, position: int, metrics: Sequence[Metric], best: Sequence[float | None]
) -> list[str]:
    cells = []
    for metric, best_mean in zip(metrics, best, strict=True):
        value = row.metric(row.heads[position], metric.name)
        text = metric_text(value, metric, len(row.replicates))
        cells.append(bold(text) if value is not None and value.mean == best_mean else text)
    return [*cells, seeds(len(row.replicates))]


def _best(rows: Sequence[Row], position: int, metric: Metric) -> float | None:
    """Return a column's best mean; None for one value, or where test labels chose something."""
    values = [row.metric(row.heads[position], metric.name) for row in rows]
    means = [value.mean for value in values if value is not None]
    return metric.best(means) if len(means) > 1 and not metric.sees_test_labels else None


def _descending(row: Row, position: int) -> float:
    metric = row.study.ranking_metric
    value = row.metric(row.heads[position], metric.name)
    return -metric.sort_key(value.mean if value else None)


def _heading(metric: Metric) -> str:
    return metric.heading if metric.unit == "%" else f"{metric.heading} ({metric.unit})"


def _published(reference: Reference, metric: Metric) -> str:
    value = reference.metrics.get(metric.name)
    return metric_text(None if value is None else Estimate(value, None, 1), metric)


def _images_seen(row: Row) -> str:
    """Return the number of images each run was trained on; a repeated image counts again."""
    counts = {record.fingerprints.get("images_seen") for record in row.records}
    return "–".join(f"{count:,}" for count in sorted(filter(None, counts))) or EMPTY
