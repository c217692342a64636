"""``python -m bench bisect``: the commit that made a case worse."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.arguments import positive
from bench.commands.command import CommandError
from bench.commands.night_options import configuration_of, ledger_of
from bench.commands.session_options import add_session_options, select

if TYPE_CHECKING:
    from bench.regression.ledger import Alarm


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser("bisect", help="find the commit that made a case worse")
    command.add_argument("case", metavar="CASE", help="id of the case, as an alarm names it")
    command.add_argument(
        "--good", metavar="REV", help="commit where it was good (default: taken from its alarm)"
    )
    command.add_argument(
        "--bad", metavar="REV", help="later commit where it was bad (default: taken from its alarm)"
    )
    command.add_argument(
        "--quantity",
        metavar="NAME",
        help="what got worse, such as score.image_auroc or train_images_per_s (default: the "
        "alarm's quantity, or the ranking metric)",
    )
    command.add_argument(
        "--runs",
        type=positive,
        metavar="N",
        help="maximum runs between the two commits; then the likeliest commit is named even if "
        "uncertain (default: 10); a larger number continues an earlier search",
    )
    add_session_options(command)
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from bench.provenance.fingerprint import ROOT
    from bench.regression.bisection import MAX_RUNS
    from bench.regression.code_tree import CodeTreeError, why_no_repository
    from bench.regression.commit_path import commit_of
    from bench.regression.finding import FINISHES
    from bench.regression.search import Search, SearchTarget, answer
    from bench.regression.series import Quantity
    from bench.run.inputs import Finder, tapped_layers
    from bench.run.job import CaseSkipped, RecipeError, WeightsError
    from bench.study import RANKING, has_randomness
    from models.catalog import MODELS

    if why := why_no_repository():
        raise CommandError(f"{why}: wanted a clone with its history.")
    name = configuration_of(options.case)
    selected = select(options)
    replicates = [one for one in selected.cases if one.configuration == name]
    named = (one for one in replicates if one.id == options.case)
    case = next(named, replicates[0] if replicates else None)
    alarms = ledger_of(selected.settings.results_dir).open(name)
    if case is None:
        raise _no_case(name, [one.configuration for one in selected.cases], alarms)
    alarm = next((a for a in alarms if options.quantity in (None, a.quantity)), None)
    good, bad = options.good or (alarm and alarm.base), options.bad or (alarm and alarm.head)
    if not good or not bad:
        raise CommandError(
            f"{name} has no open alarm to take the commits from: name one where it was good and a "
            "later one where it is bad with --good REV --bad REV."
        )
    entry = MODELS[case.model]
    quantity = options.quantity or (
        alarm.quantity if alarm else f"{entry.heads[0]}.{RANKING[entry.task]}"
    )
    finder = Finder(selected.settings, dict(selected.datasets), tapped_layers([case]))
    try:
        first, last = commit_of(good, "--good"), commit_of(bad, "--bad")
        job = finder.job(case)
        confirmed = selected.settings.runs_dir / "nightly" / alarm.night / name if alarm else None
        # Speeds vary whatever the model.
        repeats = not has_randomness(case) and Quantity(quantity).kind != "speed"
        fixed = quantity == FINISHES or repeats
        target = SearchTarget(case, quantity, first, last, fixed=fixed, confirmed=confirmed)
        most = options.runs or MAX_RUNS
        search = Search(target, selected.settings, list(job.code.files), print, most)
        print(answer(search.run(), first, ROOT))
    except (CodeTreeError, CaseSkipped, RecipeError, WeightsError, ValueError) as error:
        # A BisectionError is a ValueError.
        raise CommandError(str(error)) from None
    return 0


def _no_case(name: str, known: "Sequence[str]", alarms: "Sequence[Alarm]") -> CommandError:
    """Return why there is nothing to bisect; a mean's alarm names the commits of its categories."""
    from bench.regression.dataset_means import parts_of

    parts = parts_of(name, known)
    named = [a for a in alarms if a.base and a.head]
    span = f" --good {named[0].base} --bad {named[0].head}" if named else ""
    hint = f"It is a mean: bisect one of its categories, like {parts[0]}{span}. " if parts else ""
    return CommandError(
        f"No case '{name}'. {hint}uv run pytest bench --collect-only -q lists them."
    )
