"""The leaderboard's three kinds of table: quality, cost and verdict."""

from collections.abc import Iterator, Sequence

from bench.aggregate.markdown import (
    EMPTY,
    bold,
    mebibytes,
    percent,
    points,
    quantity,
    scaled,
    seeds,
    table,
)
from bench.report.references import Reference
from bench.aggregate.statistics import EXACT_LIMIT, SIGNIFICANCE, Estimate, fewest_pairs
from bench.aggregate.rows import Row, ranks
from bench.studies.rd_backbone.verdict import MAIN_PAIR, Verdict
from bench.table_spec import Column


def quality_table(
    rows: Sequence[Row], partial: Sequence[Row], head: str, beside: Sequence[Reference]
) -> Iterator[str]:
    """One head's quality, the best first, then incomplete rows, then published figures.

    Args:
        rows: Comparable rows; ranked if ``head`` is the ranking one.
        partial: Rows over fewer categories; shown with their number of them, never ranked.
        head: Scoring head.
        beside: Published figures.
    """
    shown = rows[0].table_spec
    records = [record for row in (*rows, *partial) for cell in row.cells for record in cell]
    columns = shown.shown(records)
    best = {column.metric: _best(rows, head, column) for column in columns}
    ranked = head == shown.heads[0]
    labels = ranks(rows) if ranked else [EMPTY] * len(rows)
    if not ranked:
        rows = sorted(rows, key=lambda row: _descending(row.metric(head, shown.ranking)))
    lines = [
        [rank, row.label, row.start]
        + [_cell(row, head, column, best[column.metric]) for column in columns]
        + [seeds(len(row.seeds))]
        for rank, row in zip(labels, rows, strict=True)
    ]
    lines += [
        [EMPTY, f"{row.label} ({row.categories} of the categories)", row.start]
        + [_cell(row, head, column, None) for column in columns]
        + [seeds(len(row.seeds))]
        for row in partial
    ]
    for number, reference in enumerate(beside, start=1):
        values = [_published(reference, column) for column in columns]
        name = f"{reference.model} (reference {number})"
        lines.append(["ref", name, reference.start, *values, "published"])
    headings = ["Rank", "Model", "Start", *(column.heading for column in columns), "Seeds"]
    drop = [] if ranked else [0]
    yield table(
        _without(headings, drop),
        [_without(line, drop) for line in lines],
        words=(0, 1, 2) if ranked else (0, 1),
    )
    if beside:
        yield "\n".join(
            f"- reference {number}: {reference.source}"
            for number, reference in enumerate(beside, start=1)
        )


def cost_table(rows: Sequence[Row]) -> str:
    """Speed, memory and size; the speeds with their interval over seeds."""
    fit = [row.measurement("fit_seconds") for row in rows]
    lines = [
        [
            row.label,
            row.start,
            *([_images_seen(row), quantity(seconds)] if any(fit) else []),
            quantity(row.measurement("train_images_per_s")),
            quantity(row.measurement("inference_images_per_s")),
            quantity(row.measurement("latency_p50_ms")),
            quantity(row.measurement("latency_p95_ms")),
            mebibytes(_mean(row, "peak_host_bytes")),
            mebibytes(_mean(row, "peak_device_bytes")),
            scaled(_mean(row, "parameters")),
            scaled(_mean(row, "trainable_parameters")),
            scaled(_mean(row, "inference_flops")),
            scaled(_mean(row, "train_flops")),
            seeds(len(row.seeds)),
        ]
        for row, seconds in zip(rows, fit, strict=True)
    ]
    headings = [
        "Model",
        "Start",
        *(["Images seen", "Fit (s)"] if any(fit) else []),
        "Train images/s",
        "Inference images/s",
        "Latency p50 (ms)",
        "Latency p95 (ms)",
        "Peak host memory",
        "Peak device memory",
        "Parameters",
        "Trainable",
        "FLOPs, inference",
        "FLOPs, train",
        "Seeds",
    ]
    return table(headings, lines, words=(0, 1))


def verdict_table(found: Sequence[Verdict]) -> Iterator[str]:
    """Study 1's answers, the main question first, and what they left out."""
    yield "#### Verdict: ResNet against ConvNeXt"
    lines = []
    notes = []
    for verdict in found:
        question = verdict.pair.question
        lines.append(
            [
                bold(question) if verdict.pair is MAIN_PAIR else question,
                f"{verdict.pair.resnet} / {verdict.pair.convnext}",
                "pretrained" if verdict.pretrained else "scratch",
                verdict.head,
                str(len(verdict.categories)),
                points(verdict.test.difference) if verdict.test else EMPTY,
                EMPTY if verdict.test is None or verdict.test.p is None else _p(verdict.test.p),
                EMPTY if verdict.seed_sd is None else f"{100 * verdict.seed_sd:.2f}",
                "–".join(str(count) for count in sorted(set(verdict.seeds))),
                bold(verdict.text) if verdict.pair is MAIN_PAIR else verdict.text,
            ]
        )
        notes += [
            f"- {verdict.pair.resnet} / {verdict.pair.convnext}, {verdict.head}: left out {count} "
            f"{'category' if count == 1 else 'categories'}, {reason}"
            for reason, count in sorted(verdict.left_out.items())
        ]
    headings = [
        "When",
        "ResNet / ConvNeXt side",
        "Start",
        "Arm",
        "Categories",
        "ROC-AUC difference, points",
        "p",
        "Seed sd",
        "Seeds",
        "Verdict",
    ]
    yield table(headings, lines, words=(0, 1, 2, 3, 9))
    if notes:
        yield "\n".join(dict.fromkeys(notes))
    yield (
        "Difference: ConvNeXt minus ResNet, mean over categories [95 % CI over categories], "
        "seeds averaged within each. p: two-sided sign-flip test over categories, exact up to "
        f"{EXACT_LIMIT}; fewer than {fewest_pairs()} cannot reach p < {SIGNIFICANCE:.2f}. Not "
        "corrected for the number of rows: the first row is the study's question. Seed sd: spread "
        "between seeds of one configuration and category, in points, no part of the test."
    )


def _cell(row: Row, head: str, column: Column, best: float | None) -> str:
    found = row.metric(head, column.metric)
    text = percent(found, column.digits, of=len(row.seeds))
    return bold(text) if found is not None and found.mean == best else text


def _best(rows: Sequence[Row], head: str, column: Column) -> float | None:
    """The best mean of a column that test labels did not choose."""
    if column.test_chosen:
        return None
    means = [found.mean for row in rows if (found := row.metric(head, column.metric)) is not None]
    return max(means) if len(means) > 1 else None


def _published(reference: Reference, column: Column) -> str:
    value = reference.metrics.get(column.metric)
    return EMPTY if value is None else percent(Estimate(value, None, 1), column.digits)


def _descending(found: Estimate | None) -> float:
    return -found.mean if found else float("inf")


def _mean(row: Row, name: str) -> float | None:
    found = row.measurement(name)
    return found.mean if found else None


def _images_seen(row: Row) -> str:
    """How many images each run was trained on, a repeated one counted again."""
    seen = {record.fingerprints.get("images_seen") for cell in row.cells for record in cell}
    return "–".join(f"{count:,}" for count in sorted(filter(None, seen))) or EMPTY


def _p(p: float) -> str:
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def _without(items: Sequence[str], dropped: Sequence[int]) -> list[str]:
    return [item for position, item in enumerate(items) if position not in dropped]
