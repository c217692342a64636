"""``python -m bench compare``: test whether two runs differ on the test images they share."""

import argparse
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.commands.case_runs import id_with, read_runs
from bench.commands.command import CommandError
from bench.commands.record_files import add_records, records_of

if TYPE_CHECKING:
    from bench.metrics.bootstrap import Interval
    from bench.metrics.comparison import Comparison
    from bench.report.finished_run import FinishedRun


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "compare", help="test whether two runs differ on the test images they share"
    )
    command.add_argument("first", metavar="ID_A", help="id of a case, or a unique part of one")
    command.add_argument(
        "second", metavar="ID_B", help="id or part of another case with the same test images"
    )
    add_records(command)
    command.add_argument("--profile", help="profile of the runs, if both ran under several")
    command.add_argument("--head", help="scoring head (default: the one that ranks each model)")
    command.add_argument(
        "--metric",
        help="image_auroc (DeLong; default), image_ap, f1 or f1_best (bootstrap), pixel_auroc, "
        "pixel_ap, aupro_30 or aupro_05 (jackknife over images, from kept maps) of anomaly "
        "detection; top1 (McNemar) of classification",
    )
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from bench.aggregate.conditions import deviations
    from bench.report.finished_run import ComparisonError
    from bench.report.paired_runs import changed_images, compare_runs, find_runs

    known = read_runs(records_of(options))
    ids = [_whole_id(name, known, options.profile) for name in (options.first, options.second)]
    try:
        runs = find_runs(known, (ids[0], ids[1]), options.profile)
        comparison = compare_runs(*runs, options.head, options.metric)
    except ComparisonError as error:
        raise CommandError(str(error)) from error
    name = " ".join(filter(None, (options.head, comparison.metric)))
    for letter, run, value in zip("AB", runs, (comparison.first, comparison.second), strict=True):
        unusual = "; ".join(deviations([run.record]))
        print(f"{letter}: {run.name}\n   {name} {_format(value, '%')}")
        if unusual:
            print(f"   This run cannot rank: {unusual}.")
    print("\n".join(_conclusion(comparison)))
    if changed_images(*runs):
        print(
            "Note: the test images have the same names and labels, but the contents of images, or "
            "how they are read, changed between the runs. Run both again with --rerun."
        )
    return 0


def _whole_id(name: str, runs: "Sequence[FinishedRun]", profile: str | None) -> str:
    """Return the id that contains the name, preferring cases with a finished run.

    Raises:
        CommandError: Several ids contain it.
    """
    known = {run.record.key.id for run in runs}
    if name in known:
        return name
    finished = {
        run.record.key.id
        for run in runs
        if run.record.status == "ok" and profile in {None, run.record.key.profile}
    }
    return id_with(name, finished) or id_with(name, known) or name


def _conclusion(comparison: "Comparison") -> list[str]:
    p = "" if math.isnan(comparison.p) else f", p = {comparison.p:.2g}"
    return [
        f"B − A: {_format(comparison.difference, 'points', '+')}{p}",
        f"By {comparison.method}; 95 % intervals over images.",
        f"{comparison.verdict} (A is the first, B the second; one trained model each: "
        "variation between seeds is not included)",
    ]


def _format(value: "Interval", unit: str, sign: str = "") -> str:
    """Return ``97.10 % [95.20, 98.40]``, with a reason where the interval is unusual."""
    text = "none" if math.isnan(value.value) else f"{100 * value.value:{sign}.2f} {unit}"
    if not math.isnan(value.low):
        text += f" [{100 * value.low:{sign}.2f}, {100 * value.high:{sign}.2f}]"
    return f"{text} ({value.reason})" if value.reason else text
