"""``python -m bench accept``: take a case's numbers as they are; its history starts again."""

import argparse
import re
from pathlib import Path

from bench.commands.command import CommandError
from bench.commands.night_options import add_baseline
from bench.commands.session_options import results_home


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "accept", help="take a case's numbers as they are: its baseline starts again"
    )
    command.add_argument("case", metavar="CASE", help="id of a case")
    command.add_argument("--reason", required=True, help="why the numbers are as they should be")
    command.add_argument(
        "--false-alarm",
        action="store_true",
        help="the alarm was wrong: say so in the ledger, and keep the baseline",
    )
    add_baseline(command)
    command.add_argument("--results-dir", type=Path, metavar="DIR", help="folder of results")
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from bench.near_names import near_names
    from bench.provenance.commit import current_commit
    from bench.regression.baselines import Acceptance, Baselines
    from bench.regression.dataset_means import parts_of
    from bench.regression.ledger import Ledger

    results = (options.results_dir or results_home() / "results").expanduser().absolute()
    baselines, ledger = Baselines(results, options.baseline), Ledger(results)
    name = re.sub(r"-s\d+$", "", options.case)
    known = {run.series.configuration for run in baselines.runs}
    if not options.reason.strip():
        raise CommandError("--reason: wanted why the numbers are as they should be, found nothing.")
    parts = parts_of(name, known) or [name]
    if not known.issuperset(parts):
        close = near_names(name, known)
        hint = f"did you mean {' or '.join(close)}?" if close else "run python -m bench nightly."
        raise CommandError(f"{baselines.path} has no run of {name}: {hint}")
    alarms = ledger.open(name)
    if options.false_alarm and not alarms:
        raise CommandError(f"{name} has no open alarm in {ledger.path}: nothing to call false.")
    verdict = "false" if options.false_alarm else "accepted"
    for alarm in alarms:
        ledger.judge(alarm, verdict, options.reason)
        print(f"alarm of {alarm.raised[:10]} on {alarm.quantity}: {verdict}")
    files = [ledger.path] if alarms else []
    if not options.false_alarm:
        for part in parts:
            baselines.accept(Acceptance(part, options.reason, current_commit().commit))
            print(f"{part}: a new baseline segment; its next run begins it")
        files.append(baselines.path)
    print(f"keep it in git: git add {' '.join(map(str, files))} && git commit")
    return 0
