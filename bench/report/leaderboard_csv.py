"""The leaderboard's values at full precision, for machines: a line per row of each table."""

from collections.abc import Iterable, Iterator
from typing import Any

from bench.aggregate.frame import comparable_runs
from bench.aggregate.markdown import EMPTY
from bench.aggregate.ranking import Place, places
from bench.aggregate.reference import MEAN
from bench.aggregate.rows import Table, tables
from bench.metrics.catalog import METRICS
from bench.record import Record
from bench.report.leaderboard_tables import COST_COLUMNS
from bench.studies import STUDIES, by_study
from datasets_lib.catalog import DATASETS

MEASUREMENTS = ("fit_seconds", *COST_COLUMNS)

_AXES = (
    *("kind", "profile", "environment", "study", "dataset", "category", "mode", "categories"),
    *("head", "rank", "no_rank", "budget_share", "model", "init", "replicates", "source"),
)

_PUBLISHED = ("dataset", "category", "head", "model", "init", "source")


def leaderboard_csv(records: Iterable[Record]) -> str:
    """Return every row of every quality and cost table; shares are fractions of 1.

    ``NAME_low`` and ``NAME_high`` are the ends of the 95 % interval over replicates. ``kind`` is
    ``run``, ``partial`` (a mean over fewer categories than the ranked rows share) or ``reference``
    (published; its ``source`` says by whom). ``mode`` is there if some run is
    few-shot or a model for all categories. ``no_rank`` says why a run has no rank. Metrics have a
    column if some record has a value.
    """
    import pandas

    sections = comparable_runs(records)
    finished = [record for runs in sections for record in runs.records]
    recorded = {name for record in finished for head in record.metrics.values() for name in head}
    names = [*METRICS, *sorted(recorded - METRICS.keys()), *MEASUREMENTS]
    columns = [*_AXES, *(column for name in names for column in _columns(name))]
    lines = [
        {"profile": runs.profile, "environment": runs.environment, "study": name, **line}
        for runs in sections
        for name, of_study in by_study(runs.records).items()
        # The mean over a dataset's categories follows them here.
        for table in sorted(
            tables(of_study, STUDIES[name]),
            key=lambda t: (t.dataset, t.multi_class, t.shots, t.category == MEAN),
        )
        for line in _lines(table, names)
    ]
    shown = {(line["dataset"], line["category"]) for line in lines if not line["mode"]}
    for name, of_study in by_study(finished).items():
        variants = {record.case.variant for record in of_study}
        for reference in STUDIES[name].call(STUDIES[name].references, variants):
            own = {reference.category}
            if reference.category == MEAN:
                own = set(DATASETS[reference.dataset].categories)
            if shown >= {(reference.dataset, category) for category in own}:
                line = {"kind": "reference", "study": name, "categories": len(own)}
                line |= {axis: getattr(reference, axis) for axis in _PUBLISHED}
                lines.append(line | dict(reference.metrics))
    frame = pandas.DataFrame(lines, columns=columns)
    empty = [name for name in names if name not in MEASUREMENTS and frame[name].isna().all()]
    if not any(line.get("mode") for line in lines):
        frame = frame.drop(columns="mode")
    frame = frame.drop(columns=[column for name in empty for column in _columns(name)])
    return str(frame.to_csv(index=False, lineterminator="\n"))


def _columns(name: str) -> tuple[str, str, str]:
    return name, f"{name}_low", f"{name}_high"


def _lines(table: Table, names: Iterable[str]) -> Iterator[dict[str, Any]]:
    ranked = places(table.rows)
    partial = [Place(row, "", ("fewer categories",)) for row in table.partial]
    for kind, own in (("run", ranked), ("partial", partial)):
        for position in range(max((len(place.row.heads) for place in own), default=0)):
            for place in own:
                if position < len(place.row.heads):
                    yield {"kind": kind, **_line(table, place, position, names)}


def _line(table: Table, place: Place, position: int, names: Iterable[str]) -> dict[str, Any]:
    row = place.row
    head = row.heads[position]
    line: dict[str, Any] = {
        "dataset": table.dataset,
        "category": table.category,
        "mode": table.mode,
        "categories": len(row.categories),
        "head": head,
        "rank": place.rank.strip(EMPTY) if position == 0 else "",
        "no_rank": "; ".join(place.reasons) if position == 0 else "",
        "budget_share": row.budget_share,
        "model": row.label,
        "init": row.case.init,
        "replicates": " ".join(map(str, row.replicates)),
    }
    for name in names:
        value = row.measurement(name) if name in MEASUREMENTS else row.metric(head, name)
        if value:
            line[name] = value.mean
            if value.half_width is not None:
                line |= {f"{name}_low": value.low, f"{name}_high": value.high}
    return line
