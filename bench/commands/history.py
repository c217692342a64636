"""``python -m bench history``: a case's values over commits: a table, a picture, or for others."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands.command import CommandError
from bench.commands.night_options import (
    add_history,
    configuration_of,
    known_configuration,
    ledger_of,
    results_dir_of,
)

if TYPE_CHECKING:
    from bench.regression.baselines import Acceptance, Run
    from bench.regression.ledger import Alarm


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser("history", help="show a case's values over commits")
    command.add_argument(
        "case",
        metavar="CASE",
        nargs="?",
        help="id of a case, or a unique part of one (default with csv: all)",
    )
    command.add_argument(
        "--quantity", action="append", metavar="NAME", help="such as score.image_auroc; may repeat"
    )
    command.add_argument(
        "--format",
        choices=["table", "csv", "otava"],
        default="table",
        help="csv: a line for each value; otava: the CSV that Apache Otava imports, a line for "
        "each run with its time, commit and quantities as columns, of the newest run's machine, "
        "budget and data",
    )
    command.add_argument(
        "--picture",
        type=Path,
        metavar="FILE",
        help="PNG for a plot of the values by date, with acceptances, alarms and, from 8 weeks on, "
        "the levels of the weekly medians",
    )
    add_history(command)
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from bench.regression.baselines import Baselines
    from bench.regression.history import by_series, history_csv, history_otava, history_table

    if options.picture and (options.picture.suffix != ".png" or options.format != "table"):
        raise CommandError("--picture: wanted a file that ends in .png, and no --format.")
    results = results_dir_of(options)
    baselines = Baselines(results, options.baseline)
    runs = baselines.runs
    name = ""
    if options.case is not None:
        name = configuration_of(options.case)
        name = known_configuration(baselines, name, "run `python -m bench nightly` first.")
        runs = [run for run in runs if run.series.configuration == name]
        _check_quantities(options.quantity or (), runs)
    elif options.format != "csv":
        raise CommandError(f"--format {options.format} shows one case: wanted CASE, found none.")
    if options.format == "csv":
        print(history_csv(runs, options.quantity), end="")
    elif options.format == "otava":
        newest = by_series(runs)[max(runs, key=lambda run: run.finished).series]
        print(history_otava(newest, options.quantity), end="")
        if left := len(runs) - len(newest):
            print(
                f"{left} run{'s' * (left > 1)} on other machines, budgets or data left out: "
                "--format csv has all.",
                file=sys.stderr,
            )
    else:
        alarms = [
            alarm
            for alarm in ledger_of(results).alarms
            if (alarm.configuration, alarm.baseline) == (name, baselines.name)
        ]
        accepted = [one for one in baselines.acceptances if one.configuration == name]
        print(history_table(runs, accepted, alarms, options.quantity))
        if options.picture:
            _draw(options, runs, accepted, alarms)
    return 0


def _check_quantities(names: "Sequence[str]", runs: "Sequence[Run]") -> None:
    from bench.near_names import near_names

    known = sorted({name for run in runs for name in run.values})
    for name in names:
        if name not in known:
            close = " or ".join(near_names(name, known)) or ", ".join(known)
            raise CommandError(f"--quantity '{name}': its runs do not have it; try {close}.")


def _draw(
    options: argparse.Namespace,
    runs: "Sequence[Run]",
    accepted: "Sequence[Acceptance]",
    alarms: "Sequence[Alarm]",
) -> None:
    """Draw the picture, and print how to get weekly levels if it has none."""
    from bench.next_steps import extra_command
    from bench.regression.history import usual_quantities
    from bench.regression.history_plot import plot_history
    from bench.regression.weekly_steps import has_ruptures

    names = options.quantity or usual_quantities(runs)
    fitted = has_ruptures()
    plot_history(runs, names, options.picture, acceptances=accepted, alarms=alarms, steps=fitted)
    print(f"picture  {options.picture}")
    if not fitted:
        print(f"No weekly levels: they need ruptures ({extra_command('history')}).")
