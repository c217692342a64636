"""The leaderboard's values at full precision, for machines: a line per row of each table."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from bench.aggregate.reference import MEAN, Reference
from bench.aggregate.rows import (
    Row,
    by_data,
    category_rows,
    comparable_runs,
    mean_rows,
    ranks,
)
from bench.aggregate.statistics import Estimate
from bench.metrics.catalog import METRICS
from bench.record import Record
from bench.studies import STUDIES, by_study
from bench.study import Study
from datasets_lib.catalog import DATASETS

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
    *("kind", "profile", "environment", "study", "dataset", "category", "categories"),
    *("head", "rank", "model", "init", "replicates", "source"),
)


def leaderboard_csv(records: Iterable[Record]) -> str:
    """Return every row of every quality and cost table; shares are fractions of 1.

    ``NAME_ci95`` is half the width of the 95 % interval over replicates. ``kind`` is ``run``,
    ``partial`` (a mean over fewer categories than the ranked rows share) or ``reference``
    (published; its ``source`` says by whom). Metrics have a column if some record has a value.
    """
    sections = comparable_runs(records)
    finished = [record for runs in sections for record in runs.records]
    metrics = _metrics(finished)
    lines: list[dict[str, str]] = []
    for runs in sections:
        place = {"profile": runs.profile, "environment": runs.environment}
        for name, of_study in by_study(runs.records).items():
            lines.extend(
                {"kind": "run", **place, "study": name, **line}
                for line in _study_lines(STUDIES[name], of_study, metrics)
            )
    shown = {(line["dataset"], line["category"]) for line in lines}
    for name, of_study in by_study(finished).items():
        study = STUDIES[name]
        variants = {record.case.variant for record in of_study}
        for reference in study.call(study.references, variants):
            categories = _categories(reference)
            if shown >= {(reference.dataset, category) for category in categories}:
                lines.append({"study": name, **_reference_line(reference, len(categories))})
    filled = {name for line in lines for name in line}
    names = [*(name for name in metrics if name in filled), *MEASUREMENTS]
    text = io.StringIO()
    columns = [*_AXES, *(column for name in names for column in (name, f"{name}_ci95"))]
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _metrics(records: Sequence[Record]) -> list[str]:
    """Return the registered metrics, then those that only records know."""
    names = {name for record in records for head in record.metrics.values() for name in head}
    return [*METRICS, *sorted(names - METRICS.keys())]


def _categories(reference: Reference) -> set[str]:
    """Return the categories that a published value is of."""
    if reference.category != MEAN:
        return {reference.category}
    return set(DATASETS[reference.dataset].categories)


def _study_lines(
    study: Study, records: Sequence[Record], metrics: Sequence[str]
) -> Iterator[dict[str, str]]:
    for dataset, group in groupby(by_data(records).items(), key=lambda item: item[0][0]):
        cells = dict(group)
        for (_, category), of_category in cells.items():
            rows = category_rows(of_category, study)
            axes = {"dataset": dataset, "category": category}
            yield from _lines(rows, ranks(rows), axes, metrics)
        if len(cells) > 1:
            of_dataset = [record for cell in cells.values() for record in cell]
            ranked, partial, _ = mean_rows(of_dataset, study)
            mean = {"dataset": dataset, "category": MEAN}
            yield from _lines(ranked, ranks(ranked), mean, metrics)
            axes = {**mean, "kind": "partial"}
            yield from _lines(partial, [""] * len(partial), axes, metrics)


def _lines(
    rows: Sequence[Row], labels: Sequence[str], axes: dict[str, str], metrics: Sequence[str]
) -> Iterator[dict[str, str]]:
    for position in range(len(rows[0].heads) if rows else 0):
        for row, rank in zip(rows, labels, strict=True):
            head = row.heads[position]
            line = {
                **axes,
                "categories": str(len(row.cells)),
                "head": head,
                "rank": rank if position == 0 else "",
                "model": row.label,
                "init": row.case.init,
                "replicates": " ".join(map(str, row.replicates)),
            }
            for name in metrics:
                line |= _values(name, row.metric(head, name))
            for name in MEASUREMENTS:
                line |= _values(name, row.measurement(name))
            yield line


def _reference_line(reference: Reference, categories: int) -> dict[str, str]:
    return {
        "kind": "reference",
        "dataset": reference.dataset,
        "category": reference.category,
        "categories": str(categories),
        "head": reference.head,
        "model": reference.model,
        "init": reference.init,
        "source": reference.source,
        **{name: repr(value) for name, value in reference.metrics.items()},
    }


def _values(name: str, value: Estimate | None) -> dict[str, str]:
    if value is None:
        return {}
    width = "" if value.half_width is None else repr(value.half_width)
    return {name: repr(value.mean), f"{name}_ci95": width}
