"""The leaderboard's figures at full precision, for machines: one line a row of each table."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from bench.record import Record
from bench.report.references import MEAN, Reference, beside, published_categories, references
from bench.aggregate.statistics import Estimate
from bench.aggregate.rows import (
    Row,
    by_data,
    by_study,
    category_rows,
    comparable_runs,
    mean_rows,
    ranks,
)
from bench.studies import STUDIES, table_spec_of
from bench.studies.mixing.original import original_rows
from bench.table_spec import ANOMALY, TABLE_SPECS

MEASUREMENTS = (
    "fit_seconds",
    "train_images_per_s",
    "inference_images_per_s",
    "latency_p50_ms",
    "latency_p95_ms",
    "peak_host_bytes",
    "peak_device_bytes",
    "parameters",
    "trainable_parameters",
    "inference_flops",
    "train_flops",
)

_AXES = (
    "kind",
    "profile",
    "environment",
    "study",
    "dataset",
    "category",
    "categories",
    "head",
    "rank",
    "model",
    "start",
    "seeds",
    "source",
)


def leaderboard_csv(records: Iterable[Record]) -> str:
    """Every row of every quality and cost table; fractions of 1, units in the names.

    Columns are those of the tasks that the records are of. ``NAME_ci95`` is half the interval's
    width; ``best_f1``/``f1_best`` and ``best_epoch`` columns rest on a choice by test labels, as
    does the head ``best_epoch``. ``kind`` is ``run``, ``partial`` (a mean over fewer categories than
    the ranked rows share) or ``reference`` (published; its ``source`` says by whom).
    """
    found = comparable_runs(records)
    everything = [record for runs in found for record in runs.records]
    metrics = _metrics(everything)
    figures = [name for base in (*metrics, *MEASUREMENTS) for name in (base, f"{base}_ci95")]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*_AXES, *figures], restval="", lineterminator="\n")
    writer.writeheader()
    shown: set[tuple[str, str]] = set()
    for runs in found:
        place = {"profile": runs.profile, "environment": runs.environment}
        for study, of_study in by_study(runs.records).items():
            for line in _study_lines(study, of_study, metrics):
                writer.writerow({"kind": "run", **place, "study": study, **line})
                shown.add((line["dataset"], line["category"]))
    for reference in (*_published(everything), *original_rows()):
        dataset, category = reference.dataset, reference.category
        needed = published_categories(dataset) if category == MEAN else {category}
        if shown >= {(dataset, name) for name in needed}:
            writer.writerow(_reference_line(reference, len(needed)))
    return text.getvalue()


def _published(records: Sequence[Record]) -> list[Reference]:
    """The published figures that stand in tables of these records."""
    models = {record.case.variant for record in records}
    studies = set(by_study(records))
    places = dict.fromkeys((r.study, r.dataset, r.category) for r in references())
    return [one for place in places if place[0] in studies for one in beside(*place, models)]


def _metrics(records: Sequence[Record]) -> list[str]:
    """The metrics of the tasks that records are of; anomaly's where there is no record."""
    metrics: dict[str, None] = {}
    for shown in TABLE_SPECS.values():
        of_task = [record for record in records if table_spec_of(record) is shown]
        if of_task or (shown is ANOMALY and not records):
            metrics |= dict.fromkeys(shown.figures(of_task))
    return list(metrics)


def _study_lines(
    study: str, records: Sequence[Record], metrics: Sequence[str]
) -> Iterator[dict[str, str]]:
    study_shows = STUDIES[study].table_spec
    for dataset, group in groupby(by_data(records).items(), key=lambda item: item[0][0]):
        cells = dict(group)
        for (_, category), of_category in cells.items():
            rows = category_rows(of_category, study_shows)
            axes = {"dataset": dataset, "category": category}
            yield from _lines(rows, ranks(rows), axes, metrics)
        if len(cells) > 1:
            everything = [record for cell in cells.values() for record in cell]
            ranked, partial, _ = mean_rows(everything, study_shows)
            mean = {"dataset": dataset, "category": MEAN}
            yield from _lines(ranked, ranks(ranked), mean, metrics)
            axes = {**mean, "kind": "partial"}
            yield from _lines(partial, [""] * len(partial), axes, metrics)


def _lines(
    rows: Sequence[Row], labels: Sequence[str], axes: dict[str, str], metrics: Sequence[str]
) -> Iterator[dict[str, str]]:
    shown = rows[0].table_spec if rows else ANOMALY
    for head in shown.heads:
        for row, rank in zip(rows, labels, strict=True):
            line = {
                **axes,
                "categories": str(row.categories),
                "head": head,
                "rank": rank if head == shown.heads[0] else "",
                "model": row.label,
                "start": row.start,
                "seeds": " ".join(map(str, row.seeds)),
            }
            for name in metrics:
                line |= _figures(name, row.metric(head, name))
            for name in MEASUREMENTS:
                line |= _figures(name, row.measurement(name))
            yield line


def _reference_line(reference: Reference, categories: int) -> dict[str, str]:
    return {
        "kind": "reference",
        "dataset": reference.dataset,
        "category": reference.category,
        "categories": str(categories),
        "head": reference.head,
        "model": reference.model,
        "start": reference.start,
        "source": reference.source,
        **{name: repr(value) for name, value in reference.metrics.items()},
    }


def _figures(name: str, found: Estimate | None) -> dict[str, str]:
    if found is None:
        return {}
    width = "" if found.half_width is None else repr(found.half_width)
    return {name: repr(found.mean), f"{name}_ci95": width}
