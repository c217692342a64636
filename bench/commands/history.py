"""``python -m bench history``: a case's values over commits, in the terminal or for other tools."""

import argparse

from bench.commands.command import CommandError
from bench.commands.night_options import (
    add_history,
    configuration_of,
    results_dir_of,
    unknown_case,
)


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser("history", help="show a case's values over commits")
    command.add_argument(
        "case", metavar="CASE", nargs="?", help="id of a case (with csv: default all)"
    )
    command.add_argument(
        "--quantity", action="append", metavar="NAME", help="such as score.image_auroc; may repeat"
    )
    command.add_argument(
        "--format",
        choices=["table", "csv", "otava"],
        default="table",
        help="csv: a line for each value; otava: the CSV that Apache Otava imports, a line for "
        "each run with its time, commit and quantities as columns",
    )
    add_history(command)
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from bench.regression.baselines import Baselines
    from bench.regression.history import history_csv, history_otava, history_table
    from bench.regression.ledger import Ledger

    results = results_dir_of(options)
    baselines = Baselines(results, options.baseline)
    runs = baselines.runs
    name = configuration_of(options.case or "")
    if name:
        runs = [run for run in runs if run.series.configuration == name]
        if not runs:
            raise unknown_case(baselines, name, "run a night first.")
    elif options.format != "csv":
        raise CommandError(f"--format {options.format} shows one case: wanted CASE, found none.")
    if options.format == "csv":
        print(history_csv(runs, options.quantity), end="")
    elif options.format == "otava":
        print(history_otava(runs, options.quantity), end="")
    else:
        alarms = [alarm for alarm in Ledger(results).alarms if alarm.configuration == name]
        accepted = [one for one in baselines.acceptances if one.configuration == name]
        print(history_table(runs, accepted, alarms, options.quantity))
    return 0
