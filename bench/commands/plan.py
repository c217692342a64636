"""``python -m bench plan``: what a nightly run would run, why, for how long and in which order."""

import argparse
from typing import TYPE_CHECKING

from tabulate import tabulate

from bench.commands.night_options import add_night_options, ledger_of, night_options_of
from bench.commands.session_options import add_session_options, select

if TYPE_CHECKING:
    from bench.regression.plan import Planned


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "plan",
        help="show which cases a nightly run would run, in which order, why and for how long",
    )
    add_night_options(command)
    add_session_options(command)
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from bench.finished import Finished
    from bench.regression.baselines import Baselines
    from bench.regression.plan import make_plan
    from bench.run.inputs import Finder, tapped_layers
    from bench.store import Store

    selected = select(options)
    settings, how = selected.settings, night_options_of(options)
    plan = make_plan(
        selected.cases,
        Finder(settings, dict(selected.datasets), tapped_layers(selected.cases)),
        Finished(Store(settings.runs_dir)),
        Baselines(settings.results_dir, how.baseline),
        how,
        alarms=ledger_of(settings.results_dir).open(baseline=how.baseline),
    )
    rows = [[one.case.id, one.reason, one.why, _seconds(one)] for one in plan.planned]
    if rows:
        print(tabulate(rows, headers=["case", "reason", "why", "s"], disable_numparse=True))
    print(plan.what_runs())
    for line in plan.not_run():
        print(line)
    return 0


def _seconds(planned: "Planned") -> str:
    """Return the expected duration; a guess, by other models, is not shown."""
    return "?" if planned.guessed else f"{planned.seconds:.0f}"
