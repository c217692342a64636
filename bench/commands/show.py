"""``python -m bench show``: one run's numbers, curve, files, and the command to repeat it."""

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bench.commands.case_runs import read_runs, runs_of
from bench.commands.record_files import add_records, records_of
from bench.printable import printable
from bench.sparkline import sparkline

if TYPE_CHECKING:
    from bench.record import Record
    from bench.report.finished_run import FinishedRun

_SPARK_LENGTH = 40


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "show", help="show a case's newest run: metrics, curve, pictures, command to repeat it"
    )
    command.add_argument("case", metavar="CASE", help="id of a case, or a unique part of one")
    add_records(command)
    command.add_argument("--profile", help="profile of the run (default: that of the newest one)")
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    runs = runs_of(read_runs(records_of(options)), options.case, options.profile)
    for line in _lines(runs[-1], [run.record for run in runs[:-1]]):
        print(printable(line))
    return 0


def _lines(run: "FinishedRun", earlier: "Sequence[Record]") -> Iterator[str]:
    from bench.report.repeat import repeat_command

    record = run.record
    yield f"{record.key.id} (profile {record.key.profile})"
    machine = record.environment.get("class", "an unknown machine")
    yield f"{record.outcome}, ended {record.finished} on {machine}"
    if earlier:
        yield f"newest of {len(earlier) + 1} runs in {run.file.name}"
    if record.error:
        yield from ("", *record.error.get("message", "").split("\n"))
    yield from _metrics(record)
    yield from _curves(record)
    yield from _costs(record)
    yield from ("", *_files(run))
    yield from ("", "repeat", f"  {repeat_command(record)}")


def _metrics(record: "Record") -> Iterator[str]:
    """Yield a block of metrics for each head, with the 95 % interval over images."""
    from bench.metrics.catalog import METRICS
    from bench.report.metric_order import metrics_in_order

    for head, values in metrics_in_order(record).items():
        yield from ("", f"{head}")
        for name, value in values.items():
            metric = METRICS.get(name)
            heading = metric.heading if metric else name
            if value is None:
                yield f"  {heading:<31} –      {record.reasons.get(f'{head}.{name}', '')}".rstrip()
                continue
            low, high = record.intervals.get(head, {}).get(name, [None, None])
            text = metric.text(value) if metric else f"{value:.4g}"
            if metric and low is not None and high is not None:
                text = f"{text:<7} [{metric.text(low)}, {metric.text(high)}] over images"
            yield f"  {heading:<31} {text}"


def _curves(record: "Record") -> Iterator[str]:
    """Yield the training loss, and a metric by epoch, as sparklines."""
    from bench.metrics.catalog import METRICS
    from bench.study import RANKING, task_of

    metric = METRICS[RANKING[task_of(record)]]
    for name, points, scale in (
        ("loss", record.curve, 1.0),
        (f"{metric.heading} by epoch", record.epochs, metric.scale),
    ):
        values = [scale * value for _, value in points if value is not None]
        if len(values) > 1:
            line = sparkline(values, _SPARK_LENGTH)
            yield from ("", name, f"  {line}  {values[0]:.4g} → {values[-1]:.4g}")


def _costs(record: "Record") -> Iterator[str]:
    """Yield what was measured, under the headings of the leaderboard."""
    from bench.aggregate.markdown import quantity
    from bench.aggregate.statistics import Estimate
    from bench.report.leaderboard_cost import COST_COLUMNS

    formats = {"fit_seconds": ("Fit (s)", quantity), **COST_COLUMNS}
    measured = {
        heading: text(Estimate(value, None, 1)) + _remark(record.notes.get(name))
        for name, (heading, text) in formats.items()
        if (value := record.measurements.get(name)) is not None
    }
    if measured:
        yield from ("", f"cost{_disturbed(record)}")
        yield from (f"  {heading:<31} {text}" for heading, text in measured.items())


def _disturbed(record: "Record") -> str:
    if not record.disturbed:
        return ""
    why = "the machine was busy" if record.shared else "the machine was thermally throttled"
    return f" ({why}: speeds never rank)"


def _remark(note: str | None) -> str:
    return f" ({note})" if note else ""


def _files(run: "FinishedRun") -> Iterator[str]:
    """Yield where the run's files are, and which are missing."""
    if not run.record.artifacts:
        yield "files: none were written"
    folder = ""
    for name, relative in run.record.artifacts.items():
        path = run.folder / relative
        if str(path.parent) != folder:
            folder = str(path.parent)
            yield f"files in {folder}"
        try:
            there = path.is_file()
        except (OSError, ValueError):  # not a valid file name
            there = False
        yield f"  {name:<31} {path.name}{'' if there else '  (not here)'}"
