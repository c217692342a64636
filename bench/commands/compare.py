"""``python -m bench compare``: do two runs differ on the test images they share?"""

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands.command import CommandError

if TYPE_CHECKING:
    from bench.metrics.bootstrap import Interval
    from bench.metrics.comparison import Comparison


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    command = commands.add_parser(
        "compare", help="test whether two runs differ on the test images they share"
    )
    command.add_argument("first", metavar="ID_A", help="case id, as in the records")
    command.add_argument("second", metavar="ID_B", help="another on the same test images")
    command.add_argument(
        "--records",
        nargs="+",
        type=Path,
        default=[Path("results/runs/records.jsonl")],
        metavar="FILE",
        help="JSONL files of records, in the results folder's runs "
        "(default: results/runs/records.jsonl)",
    )
    command.add_argument("--profile", help="where several profiles have both runs")
    command.add_argument("--head", help="scoring head (default: the one that ranks)")
    command.add_argument(
        "--figure",
        help="image_auroc (DeLong; default), image_ap, f1 or f1_best (bootstrap) of anomaly "
        "detection; top1 (McNemar) of classification",
    )
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from bench.report.paired_runs import ComparisonError, compare_runs, find_runs

    if missing := [str(path) for path in options.records if not path.is_file()]:
        raise CommandError(
            f"No records at {', '.join(missing)}. Run some cases first, such as "
            "pytest bench -k rd_resnet18, or name the files with --records."
        )
    try:
        runs = find_runs(options.records, (options.first, options.second), options.profile)
        found = compare_runs(*runs, options.head, options.figure)
    except ComparisonError as error:
        raise CommandError(str(error)) from error
    name = " ".join(filter(None, (options.head, found.metric)))
    for place, run, figure in zip(("A", "B"), runs, (found.first, found.second), strict=True):
        print(f"{place}: {run.name}\n   {name} {_in_hundredths(figure, '%')}")
    print("\n".join(_conclusion(found)))
    return 0


def _conclusion(found: "Comparison") -> list[str]:
    p = "" if math.isnan(found.p) else f", p = {found.p:.2g}"
    return [
        f"B − A: {_in_hundredths(found.difference, 'points', '+')}{p}",
        f"By {found.method}; intervals of 95 % over images.",
        f"{found.verdict} (A is the first, B the second; one trained model each: "
        "seeds are another question)",
    ]


def _in_hundredths(found: "Interval", unit: str, sign: str = "") -> str:
    """``97.10 % [95.20, 98.40]``, and why where there is no usual interval."""
    text = f"{100 * found.value:{sign}.2f} {unit}" if not math.isnan(found.value) else "none"
    if not math.isnan(found.low):
        text += f" [{100 * found.low:{sign}.2f}, {100 * found.high:{sign}.2f}]"
    return f"{text} ({found.reason})" if found.reason else text
