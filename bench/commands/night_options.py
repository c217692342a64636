"""What the nightly commands share: options, and names of cases in baselines."""

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.arguments import whole
from bench.commands.case_runs import id_with
from bench.commands.command import CommandError
from bench.commands.session_options import results_home
from bench.short_ids import did_you_mean_id
from datasets_lib.paths import absolute_path

if TYPE_CHECKING:
    from bench.regression.baselines import Baselines
    from bench.regression.ledger import Ledger
    from bench.regression.plan import NightOptions

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}


def add_night_options(command: argparse.ArgumentParser) -> None:
    """Add the options of ``plan`` and ``nightly``."""
    command.add_argument(
        "--budget",
        type=duration,
        metavar="TIME",
        help="time for the cases, such as 2h, 90m or 600s (default: no limit); canaries always run",
    )
    command.add_argument(
        "--canaries",
        type=whole,
        default=9,
        metavar="N",
        help="unchanged cases, cheapest first, that show whether the machine changed (default "
        "9); with fewer, more nightly runs look like a changed machine, and speeds are not "
        "judged in those",
    )
    command.add_argument(
        "--rotation",
        type=whole,
        default=30,
        metavar="NIGHTS",
        help="run each unchanged case once in this many nightly runs; 0 for never (default 30)",
    )
    add_baseline(command)
    command.add_argument(
        "--busy",
        action="store_true",
        help="compare speeds even if other processes use the machine",
    )


def add_baseline(command: argparse.ArgumentParser) -> None:
    """Add ``--baseline``."""
    command.add_argument(
        "--baseline",
        type=_name,
        default="main",
        metavar="NAME",
        help="results/baselines/nightly/NAME.jsonl (default main)",
    )


def add_history(command: argparse.ArgumentParser) -> None:
    """Add the options that locate the runs of earlier nights."""
    add_baseline(command)
    command.add_argument("--results-dir", type=Path, metavar="DIR", help="folder of results")


def results_dir_of(options: argparse.Namespace) -> Path:
    """Return the folder of results, the clone's unless another is given."""
    folder: Path = options.results_dir or results_home() / "results"
    return absolute_path(folder)


def ledger_of(results: Path) -> "Ledger":
    """Return the alarm ledger; warn on standard error if some of it cannot be read."""
    from bench.regression.ledger import Ledger

    ledger = Ledger(results)
    if ledger.ignored:
        print(f"{ledger.ignored_text()}.", file=sys.stderr)
    return ledger


def configuration_of(case: str) -> str:
    """Return a case's id without its replicate, as baselines name it.

    >>> configuration_of("padim_resnet18-mvtec.bottle-default-pretrained-s0")
    'padim_resnet18-mvtec.bottle-default-pretrained'

    Raises:
        CommandError: Nothing is left: an empty text would match every id.
    """
    configuration = re.sub(r"-s\d+$", "", case)
    if not configuration.strip():
        raise CommandError(
            f"CASE: wanted the id of a case, found '{case}'. python -m bench history --format csv "
            "lists the cases of a baseline."
        )
    return configuration


def known_configuration(baselines: "Baselines", name: str, advice: str) -> str:
    """Return the baseline's configuration that equals or uniquely contains the text.

    Args:
        baselines: The baseline and its runs.
        name: A configuration, or a part that only one has.
        advice: What to do if there is none, and none of a similar name.

    Raises:
        CommandError: No configuration contains the text, or several do; the message names the
            nearest ones.
    """
    known = {run.series.configuration for run in baselines.runs}
    if configuration := id_with(name, known):
        return configuration
    hint = did_you_mean_id(name, known) or advice
    raise CommandError(f"{baselines.path} has no run of {name}: {hint}")


def night_options_of(options: argparse.Namespace) -> "NightOptions":
    """Return the options of a nightly run."""
    from bench.regression.plan import NightOptions

    return NightOptions(
        budget_s=options.budget,
        canaries=options.canaries,
        rotation=options.rotation,
        baseline=options.baseline,
        busy=options.busy,
    )


def duration(text: str) -> float:
    """Parse ``2h``, ``90m`` or ``600s`` into seconds.

    >>> duration("2h"), duration("1.5m")
    (7200.0, 90.0)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"wanted a time such as 2h, 90m or 600s, found '{text}'")
    return float(match[1]) * _UNITS[match[2]]


def _name(text: str) -> str:
    if not re.fullmatch(r"[\w.-]+", text) or text.startswith("."):
        raise argparse.ArgumentTypeError(f"wanted a name of letters and digits, found '{text}'")
    return text
