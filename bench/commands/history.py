"""``python -m bench history``: a case's values over commits, in the terminal or for other tools."""

import argparse
import re
from pathlib import Path

from bench.commands.command import CommandError
from bench.commands.night_options import add_baseline
from bench.commands.session_options import results_home


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
    add_baseline(command)
    command.add_argument("--results-dir", type=Path, metavar="DIR", help="folder of results")
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from bench.near_names import near_names
    from bench.regression.baselines import Baselines
    from bench.regression.history import history_csv, history_otava, history_table
    from bench.regression.ledger import Ledger

    results = (options.results_dir or results_home() / "results").expanduser().absolute()
    baselines = Baselines(results, options.baseline)
    runs = baselines.runs
    name = re.sub(r"-s\d+$", "", options.case or "")
    if name:
        known = {run.series.configuration for run in runs}
        runs = [run for run in runs if run.series.configuration == name]
        if not runs:
            close = near_names(name, known)
            hint = f"did you mean {' or '.join(close)}?" if close else "run a night first."
            raise CommandError(f"{baselines.path} has no run of {name}: {hint}")
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
