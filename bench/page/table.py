"""The page's table: a line per row of every study's tables, which a script sorts and filters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from xml.etree.ElementTree import Element

from bench.aggregate.language import say
from bench.aggregate.markdown import EMPTY, fewer_seeds, metric_text, percent, quantity, scaled
from bench.aggregate.ranking import RankedRow
from bench.aggregate.reference import MEAN
from bench.metrics.catalog import Metric, metric_named
from bench.page.markup import element, extend
from bench.page.source import Group, Source, page_name
from bench.page.words import t
from bench.printable import printable
from models.catalog import MODELS

SHOWN_METRICS = (
    *("image_auroc", "pixel_auroc", "pixel_ap", "aupro_30"),
    *("f1", "false_alarms", "top1", "top5"),
)
"""Metrics with a column of their own, besides those that rank in a study."""

_RISES = ("train_rise_{}_bytes", "inference_rise_{}_bytes")


@dataclass(frozen=True)
class Column:
    """A column after rank and model.

    Attributes:
        code: Name in the page's address.
        heading: Heading, in the page's language.
        text: Returns the cell of a row.
        number: Whether cells are numbers, which sort by value with the highest first.
    """

    code: str
    heading: str
    text: Callable[[Group, RankedRow], str]
    number: bool = True


def row_keys(source: Source) -> dict[int, str]:
    """Return the keys that table and charts share, by the identity of each ranked row."""
    return {id(each): f"r{position}" for position, (_, each) in enumerate(source.lines)}


def results_table(source: Source, keys: Mapping[int, str], *, linked: bool) -> Element:
    """Return the table; a column that no row fills is left out.

    Args:
        source: What to show.
        keys: Keys of the rows, of `row_keys`.
        linked: Whether runs have pages.
    """
    lines = source.lines
    texts = {
        column: [printable(column.text(group, each)) for group, each in lines]
        for column in _columns(source)
    }
    columns = {c: cells for c, cells in texts.items() if any(cell != EMPTY for cell in cells)}
    head = element(
        "tr",
        element("th", t("Rank"), scope="col", class_="num", data_k="rank"),
        element("th", t("Model"), scope="col", data_k="model"),
        *(
            element("th", c.heading, scope="col", class_="num" if c.number else None, data_k=c.code)
            for c in columns
        ),
    )
    body = element("tbody")
    for position, (group, ranked_row) in enumerate(lines):
        line = _line(group, ranked_row, keys[id(ranked_row)], linked=linked)
        if position and group is not lines[position - 1][0]:
            line.set("class", "first")
        body.append(extend(line, (element("td", cells[position]) for cells in columns.values())))
        line.tail = "\n"
    return element("table", element("thead", head), body, id="results")


def _memory(_: Group, ranked_row: RankedRow) -> str:
    """Return the mebibytes that a model and its largest rise need, as text."""
    row = ranked_row.row
    for kind in ("device", "host"):
        rises = [row.measurement(name.format(kind)) for name in _RISES]
        if known := [rise for rise in rises if rise is not None]:
            largest = max(known, key=lambda rise: rise.mean)
            model = row.measurement("model_bytes")
            total = largest.mean + (model.mean if model else 0)
            return f"{total / 2**20:,.0f}{fewer_seeds(largest, row.seeds)}"
    return EMPTY


def _columns(source: Source) -> list[Column]:
    ranking = sorted({group.table.study.ranking_metric.name for group in source.groups})
    others = [name for name in SHOWN_METRICS if name not in ranking]
    metrics = {name: metric_named(name) for name in [*ranking, *others]}

    def measured(name: str, group: Group, ranked_row: RankedRow) -> str:
        value = ranked_row.row.measurement(name)
        return quantity(value) + fewer_seeds(value, ranked_row.row.seeds)

    def quality(names: list[str]) -> list[Column]:
        return [Column(n, metrics[n].heading, partial(_metric, metrics[n])) for n in names]

    return [
        *quality(ranking),
        Column("weights", t("Weights"), lambda _, each: each.row.case.init, number=False),
        Column("data", t("Data"), lambda group, _: group.table.title, number=False),
        Column("study", t("Study"), lambda group, _: group.table.study.name, number=False),
        Column("machine", t("Profile, machine"), lambda group, _: group.section, number=False),
        *quality(others),
        Column("speed", t("Images/s"), partial(measured, "inference_images_per_s")),
        Column("latency", t("Latency p50 (ms)"), partial(measured, "latency_p50_ms")),
        Column("memory", t("Memory (MiB)"), _memory),
        Column("fit", t("Fit (s)"), partial(measured, "fit_seconds")),
        Column("parameters", t("Parameters"), _parameters),
        Column("seeds", t("Seeds"), lambda _, each: str(len(each.row.replicates))),
        Column("budget", t("Own budget"), lambda _, each: _share(each.row.budget_share)),
        Column("why", t("Why no rank"), _why, number=False),
    ]


def _metric(metric: Metric, group: Group, ranked_row: RankedRow) -> str:
    row = ranked_row.row
    if metric.task != group.table.study.task:
        return EMPTY
    value = row.metric(row.heads[0], metric.name)
    if value and group.table.category == MEAN and len(row.categories) < len(group.table.shared):
        count = say("{own} of {all}", own=len(row.categories), all=len(group.table.shared))
        return f"({count})"
    return metric_text(value, metric, row.seeds)


def _parameters(_: Group, ranked_row: RankedRow) -> str:
    return scaled(ranked_row.row.measurement("parameters"))


def _why(_: Group, ranked_row: RankedRow) -> str:
    return "; ".join(ranked_row.reasons) or EMPTY


def _share(share: float | None) -> str:
    return EMPTY if share is None else percent(share)


def _line(group: Group, ranked_row: RankedRow, key: str, *, linked: bool) -> Element:
    """Return a line with its rank and model; attributes hold what filters need besides cells."""
    row = ranked_row.row
    entry = MODELS.get(row.case.model)
    name = element("bdi", printable(row.label))
    if linked and group.table.category != MEAN:
        name = element("a", name, href=f"cases/{page_name(row.records[0])}")
    return element(
        "tr",
        element("td", ranked_row.rank),
        element("th", name, scope="row"),
        data_r=key,
        data_f=entry.family if entry else None,
        data_s=group.table.shots or None,
    )
