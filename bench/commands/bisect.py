"""``python -m bench bisect``: the commit that made a case worse."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.arguments import positive
from bench.commands.command import CommandError
from bench.commands.night_options import add_baseline, configuration_of, ledger_of
from bench.commands.session_options import Selected, add_session_options, select
from bench.provenance.fingerprint import ROOT

if TYPE_CHECKING:
    from bench.case import Case
    from bench.regression.ledger import Alarm
    from bench.regression.search import SearchTarget


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
    add_baseline(command)
    add_session_options(command)
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from bench.regression.bisection import MAX_RUNS
    from bench.regression.code_tree import CodeTreeError, why_no_repository
    from bench.regression.search import Search, answer
    from bench.run.inputs import Finder, tapped_layers
    from bench.run.job import CaseSkipped, RecipeError, WeightsError

    if why := why_no_repository():
        raise CommandError(f"{why}: wanted a clone with its history.")
    selected = select(options)
    try:
        target = _target(options, selected)
        layers = tapped_layers([target.case])
        job = Finder(selected.settings, dict(selected.datasets), layers).job(target.case)
        depends, most = list(job.code.files), options.runs or MAX_RUNS
        search = Search(target, selected.settings, depends, print, most)
        print(answer(search.run(), target.good, ROOT))
    except (CodeTreeError, CaseSkipped, RecipeError, WeightsError, ValueError) as error:
        # A BisectionError is a ValueError.
        raise CommandError(str(error)) from None
    return 0


def _target(options: argparse.Namespace, selected: Selected) -> "SearchTarget":
    """Return what is searched for: what the options name, and the rest from the case's alarm."""
    from bench.regression.commit_path import commit_of
    from bench.regression.search import SearchTarget

    name = configuration_of(options.case)
    alarms = ledger_of(selected.settings.results_dir).open(name, options.baseline)
    case = _case(options.case, selected.cases, alarms)
    alarm = next((a for a in alarms if options.quantity in (None, a.quantity)), None)
    good, bad = options.good or (alarm and alarm.base), options.bad or (alarm and alarm.head)
    if not good or not bad:
        raise CommandError(
            f"{name} has no open alarm against the baseline {options.baseline} to take the commits "
            "from: name one where it was good and a later one where it is bad with --good REV "
            "--bad REV, or the alarm's baseline with --baseline NAME."
        )
    quantity = options.quantity or (alarm.quantity if alarm else _ranking_quantity(case))
    confirmed = selected.settings.runs_dir / "nightly" / alarm.night / name if alarm else None
    first, last = commit_of(good, "--good"), commit_of(bad, "--bad")
    fixed = _is_fixed(case, quantity)
    return SearchTarget(case, quantity, first, last, fixed=fixed, confirmed=confirmed)


def _case(id_: str, cases: "Sequence[Case]", alarms: "Sequence[Alarm]") -> "Case":
    """Return the case of an id, or the first replicate if it names none of them."""
    name = configuration_of(id_)
    replicates = [one for one in cases if one.configuration == name]
    if not replicates:
        raise _no_case(name, [one.configuration for one in cases], alarms)
    return next((one for one in replicates if one.id == id_), replicates[0])


def _ranking_quantity(case: "Case") -> str:
    from bench.study import RANKING
    from models.catalog import MODELS

    entry = MODELS[case.model]
    return f"{entry.heads[0]}.{RANKING[entry.task]}"


def _is_fixed(case: "Case", quantity: str) -> bool:
    """Return whether equal code gives equal values; speeds vary whatever the model."""
    from bench.regression.finding import FINISHES
    from bench.regression.series import Quantity
    from bench.study import has_randomness

    if quantity == FINISHES:
        return True
    return not has_randomness(case) and Quantity(quantity).kind != "speed"


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
