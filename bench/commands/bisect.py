"""``python -m bench bisect``: the commit that made a case worse."""

import argparse
import re

from bench.commands.command import CommandError
from bench.commands.session_options import add_session_options, select


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser("bisect", help="find the commit that made a case worse")
    command.add_argument("case", metavar="CASE", help="id of the case, as an alarm names it")
    command.add_argument("--good", metavar="REV", help="commit where it was good (its alarm's)")
    command.add_argument("--bad", metavar="REV", help="later commit where it was bad (its alarm's)")
    command.add_argument(
        "--quantity",
        metavar="NAME",
        help="what got worse, such as score.image_auroc or train_images_per_s (its alarm's, or "
        "what ranks)",
    )
    add_session_options(command)
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from bench.provenance.fingerprint import ROOT
    from bench.regression.bisection import BisectionError
    from bench.regression.code_tree import CodeTreeError, git, is_repository, remove_trees
    from bench.regression.dataset_means import parts_of
    from bench.regression.ledger import Ledger
    from bench.regression.search import Question, Search, answer
    from bench.run.inputs import Finder, tapped_layers
    from bench.run.job import CaseSkipped
    from bench.study import RANKING, has_randomness
    from models.catalog import MODELS

    if not is_repository():
        raise CommandError(f"{ROOT} is no git repository: wanted a clone with its history.")
    name = re.sub(r"-s\d+$", "", options.case)
    selected = select(options)
    case = next((one for one in selected.cases if one.configuration == name), None)
    if case is None:
        parts = parts_of(name, (one.configuration for one in selected.cases))
        hint = f"It is a mean: bisect one of its categories, such as {parts[0]}. " if parts else ""
        raise CommandError(
            f"No case '{options.case}'. {hint}uv run pytest bench --collect-only -q lists them."
        )
    alarms = Ledger(selected.settings.results_dir).open(name)
    alarm = next((a for a in alarms if options.quantity in (None, a.quantity)), None)
    good, bad = options.good or (alarm and alarm.base), options.bad or (alarm and alarm.head)
    if not good or not bad:
        raise CommandError(
            f"{name} has no open alarm that names its commits: wanted --good REV and --bad REV."
        )
    entry = MODELS[case.model]
    quantity = options.quantity or (
        alarm.quantity if alarm else f"{entry.heads[0]}.{RANKING[entry.task]}"
    )
    finder = Finder(selected.settings, dict(selected.datasets), tapped_layers([case]))
    try:
        ends = [git(ROOT, "rev-parse", "--verify", f"{rev}^{{commit}}") for rev in (good, bad)]
        job = finder.job(case)
        question = Question(case, quantity, ends[0], ends[1], fixed=not has_randomness(case))
        search = Search(question, selected.settings, list(job.code.files), print)
        found = search.run()
        print(answer(found, ROOT))
        remove_trees(search.trees)
    except (CodeTreeError, BisectionError, CaseSkipped) as error:
        raise CommandError(str(error)) from None
    return 0
