"""``python -m bench plan``: what a nightly run would run, why, for how long and in which order."""

import argparse

from tabulate import tabulate

from bench.commands.night_options import add_night_options, ledger_of, night_options_of
from bench.commands.session_options import add_session_options, select


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
    from bench.regression.plan import cases_text, make_plan
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
        alarms=ledger_of(settings.results_dir).open(),
    )
    rows = [[one.case.id, one.reason, one.why, f"{one.seconds:.0f}"] for one in plan.planned]
    if rows:
        print(tabulate(rows, headers=["case", "reason", "why", "s"], disable_numparse=True))
    running = [one for one in plan.planned if not one.record]
    print(f"{cases_text(len(running))} would run, in about {plan.seconds:.0f} s")
    for line in plan.not_run():
        print(line)
    return 0
