"""``python -m bench accept``: take a case's numbers as they are; its history starts again."""

import argparse
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
    from bench.regression.baselines import Baselines


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "accept", help="accept a case's new numbers: its baseline starts over"
    )
    command.add_argument("case", metavar="CASE", help="id of a case or of a mean, in full")
    command.add_argument("--reason", required=True, help="why the new numbers are correct")
    command.add_argument(
        "--false-alarm",
        action="store_true",
        help="record in the ledger that the alarm was wrong, and keep the baseline",
    )
    add_history(command)
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from bench.provenance.commit import current_commit
    from bench.regression.baselines import Acceptance, Baselines

    results = results_dir_of(options)
    baselines, ledger = Baselines(results, options.baseline), ledger_of(results)
    name = configuration_of(options.case)
    if not options.reason.strip():
        raise CommandError("--reason: wanted why the new numbers are correct, found nothing.")
    parts = _parts(baselines, name)
    alarms = ledger.open(name, options.baseline)
    if options.false_alarm and not alarms:
        raise CommandError(f"{name} has no open alarm in {ledger.path}: nothing to mark as false.")
    verdict = "false" if options.false_alarm else "accepted"
    for alarm in alarms:
        ledger.add_verdict(alarm, verdict, options.reason)
        print(f"alarm of {alarm.raised[:10]} on {alarm.quantity}: {verdict}")
    files = [ledger.path] if alarms else []
    if not options.false_alarm:
        for part in parts:
            baselines.accept(Acceptance(part, options.reason, current_commit().commit))
            print(f"{part}: its baseline starts over with the next nightly run")
        files.append(baselines.path)
    print(f"keep it in git: git add {' '.join(map(str, files))} && git commit")
    return 0


def _parts(baselines: "Baselines", name: str) -> list[str]:
    """Return the configurations whose baselines a name stands for: its own, or a mean's parts.

    Raises:
        CommandError: It is not a whole name; files under version control want no guess.
    """
    from bench.regression.dataset_means import parts_of

    known = {run.series.configuration for run in baselines.runs}
    # Without its augmentation, the name of a mean would end those of every augmentation.
    parts = [part for part in parts_of(name, known) if part.count("-") == name.count("-")]
    if parts or name in known:
        return parts or [name]
    meant = known_configuration(baselines, name, "run `python -m bench nightly`.")
    raise CommandError(f"{baselines.path} has no run of {name}: did you mean {meant}?")
