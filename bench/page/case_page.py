"""The page of one run: its numbers, curve, pictures, environment, and how to repeat it.

Pictures that lie below the page are linked, so that a session of a thousand cases does not write
them twice; others are in the page.
"""

import base64
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element

from bench.aggregate.language import language
from bench.metrics.catalog import METRICS
from bench.page.charts.curves import curve_chart
from bench.page.markup import document, element
from bench.page.source import Source, page_name, replicates_of
from bench.page.words import t
from bench.printable import printable
from bench.record import Record
from bench.report.finished_run import FinishedRun
from bench.report.metric_order import metrics_in_order
from bench.report.repeat import repeat_command
from bench.studies import ranking_of
from bench.study import RANKING, task_of

_TYPES = {".png": (b"\x89PNG", "image/png"), ".jpg": (b"\xff\xd8", "image/jpeg")}
"""First bytes and media type of pictures, by suffix."""

_CURVE = "curve"
"""Picture of the training loss, which the page draws itself."""


def case_page(run: FinishedRun, source: Source, folder: Path, lang: str = "en") -> str:
    """Return the page of a run.

    Args:
        run: The run.
        source: All runs, for its other replicates and for whose files are there.
        folder: Folder of ``index.html``; the record's file and pictures within it are linked.
        lang: ``en`` or ``ko``.
    """
    with language(lang):
        body = element("main", *_body(run, source, folder), class_="case")
        return document(run.record.key.id, lang, [body], script=False)


def _body(run: FinishedRun, source: Source, folder: Path) -> list[Element | None]:
    record = run.record
    key = record.key
    return [
        element("p", element("a", t("Back to the results"), href="../index.html")),
        element("h1", element("bdi", printable(key.id))),
        element("p", printable(f"{key.profile} · {record.outcome} · {record.finished}")),
        _error(record),
        element("h2", t("Command")),
        element("pre", printable(repeat_command(record))),
        *_metrics(record),
        *(curves := list(_curves(record))),
        *_pictures(run, source, folder, {_CURVE} if curves else set()),
        *_pairs(t("Thresholds"), _flat(record.thresholds)),
        *_pairs(t("Measurements"), _with_notes(record)),
        *_pairs(t("Seconds"), record.timings),
        *_pairs(t("Environment"), {**record.environment, **_code(record)}),
        *_siblings(record, source),
        *_record(run, folder),
    ]


def pictures_of(run: FinishedRun) -> dict[str, Path]:
    """Return the pictures of a run that are on disk, by name; only files in its results folder."""
    pictures = {}
    root = run.folder.resolve()
    for name, relative in sorted(run.record.artifacts.items()):
        try:
            path = (root / str(relative)).resolve()
            own = path.suffix in _TYPES and path.is_relative_to(root) and path.is_file()
        except (OSError, ValueError):  # not a valid file name
            continue
        if own:
            pictures[name] = path
    return pictures


def _with_notes(record: Record) -> dict[str, Any]:
    """Return a run's measurements by name, with what is unusual about them."""
    return {
        name: f"{_plain(value)} ({record.notes[name]})" if name in record.notes else value
        for name, value in record.measurements.items()
    }


def _error(record: Record) -> Element | None:
    if record.error is None:
        return None
    message = "\n".join(map(printable, record.error.get("message", "").split("\n")))
    return element("pre", f"{t('Error')}: {message}", class_="alarm")


def _metrics(record: Record) -> Iterator[Element]:
    """Yield a table of metrics for each head, with intervals and the reasons for empty values."""
    for head, values in metrics_in_order(record).items():
        rows = element("tbody")
        for name, value in values.items():
            metric = METRICS.get(name)
            number = None if value is None else (metric.text(value) if metric else f"{value:.4g}")
            low, high = record.intervals.get(head, {}).get(name, [None, None])
            interval = ""
            if metric and low is not None and high is not None:
                interval = f"[{metric.text(low)}, {metric.text(high)}]"
            remark = record.notes.get(f"{head}.{name}") or record.reasons.get(f"{head}.{name}", "")
            heading = metric.heading if metric else printable(name)
            rows.append(
                element(
                    "tr",
                    element("th", heading, scope="row"),
                    element("td", number or "–", class_="num"),
                    element("td", interval, class_="num"),
                    element("td", printable(remark), class_="wrap"),
                )
            )
        names = (t("Metric"), t("Value"), t("95 % interval over images"), t("Remark"))
        head_row = element("tr", *(element("th", name, scope="col") for name in names))
        yield element("h2", f"{t('Metrics')}: ", element("bdi", printable(head)))
        table = element("table", element("thead", head_row), rows)
        yield element("div", table, class_="scroll", tabindex="0", role="region", aria_label=head)


def _curves(record: Record) -> Iterator[Element]:
    if chart := curve_chart(record.curve, t("Training loss")):
        yield element("h2", t("Training loss"))
        yield chart
    metric = METRICS.get(RANKING[task_of(record)])
    if metric and (chart := curve_chart(_scaled(record, metric.scale), metric.heading)):
        yield element("h2", f"{metric.heading} ({t('after each epoch; not used for selection')})")
        yield chart


def _scaled(record: Record, scale: float) -> list[list[float]]:
    return [[seen, scale * value] for seen, value in record.epochs]


def _pictures(
    run: FinishedRun, source: Source, folder: Path, drawn: Collection[str]
) -> Iterator[Element]:
    """Yield a run's pictures except those of what the page draws itself."""
    yield element("h2", t("Pictures"))
    if run.record.artifacts and not source.has_its_files(run):
        yield element(
            "p",
            t("This run has no pictures here: another run of the same case wrote to its files."),
        )
        return
    has_pictures = False
    for name, path in pictures_of(run).items():
        if name not in drawn and (address := _address(path, folder)):
            has_pictures = True
            caption = element("figcaption", printable(name))
            yield element("figure", caption, element("img", src=address, alt=printable(name)))
    if not has_pictures:
        yield element(
            "p",
            t(
                "This run has no pictures here: its record came without its files, or it ran with "
                "--no-pictures."
            ),
        )


def _address(path: Path, folder: Path) -> str:
    """Return the source of a picture: its path below the results, else its whole content.

    Empty for a file that is not a picture.
    """
    start, media = _TYPES[path.suffix]
    with path.open("rb") as file:
        if file.read(len(start)) != start:
            return ""
    if path.is_relative_to(folder.resolve()):
        return _relative(path, folder)
    return f"data:{media};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _relative(path: Path, folder: Path) -> str:
    relative = os.path.relpath(path, (folder / "cases").resolve())
    return quote(Path(relative).as_posix(), errors="replace")


def _pairs(title: str, values: Mapping[str, Any]) -> Iterator[Element]:
    """Yield a heading and a list of names and values; nothing if there are none."""
    if values:
        items: list[Element] = []
        for name, value in values.items():
            items += [element("dt", printable(str(name))), element("dd", printable(_plain(value)))]
        yield element("h2", title)
        yield element("dl", *items)


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "–" if value is None else str(value)


def _flat(of_heads: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{head}.{name}": v for head, values in of_heads.items() for name, v in values.items()}


def _code(record: Record) -> dict[str, Any]:
    return {f"code {name}": value for name, value in record.code.items()}


def _siblings(record: Record, source: Source) -> Iterator[Element]:
    if others := replicates_of(record, source):
        yield element("h2", t("Other replicates"))
        yield element("ul", *_links(others))


def _links(records: Iterable[Record]) -> Iterator[Element]:
    for record in records:
        head, metric = ranking_of(record)
        value = record.metrics.get(head, {}).get(metric.name)
        shown = f": {metric.heading} {metric.text(value)}" if value is not None else ""
        link = element("a", element("bdi", printable(record.key.id)), href=page_name(record))
        yield element("li", link, shown)


def _record(run: FinishedRun, folder: Path) -> Iterator[Element]:
    """Yield a link to the file of the record where it lies below the page, and the record."""
    yield element("h2", t("Record"))
    name = printable(run.file.name)
    where: Element = element("code", name)
    if run.file.resolve().is_relative_to(folder.resolve()):
        where = element("a", where, href=_relative(run.file.resolve(), folder))
    yield element("p", where)
    line = element("pre", printable(run.record.to_json()))
    yield element("details", element("summary", t("the whole line")), line)
