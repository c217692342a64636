"""Options of ``plan`` and ``nightly``."""

import argparse
import re
from typing import TYPE_CHECKING

from bench.arguments import positive

if TYPE_CHECKING:
    from bench.regression.night import NightOptions

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}


def add_night_options(command: argparse.ArgumentParser) -> None:
    """Add them to a command."""
    command.add_argument(
        "--budget",
        type=duration,
        metavar="TIME",
        help="time for the cases, such as 2h, 90m or 600s (default: no limit); canaries always run",
    )
    command.add_argument(
        "--canaries",
        type=_number,
        default=3,
        metavar="N",
        help="unchanged cases that show whether the machine changed (default 3)",
    )
    command.add_argument(
        "--rotation",
        type=_number,
        default=30,
        metavar="NIGHTS",
        help="nights in which every unchanged case has its turn, 0 for never (default 30)",
    )
    add_baseline(command)
    command.add_argument(
        "--busy",
        action="store_true",
        help="judge speeds although others use the machine",
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


def night_options_of(options: argparse.Namespace) -> "NightOptions":
    """Return the options of a night."""
    from bench.regression.night import NightOptions

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


def _number(text: str) -> int:
    return 0 if text == "0" else positive(text)


def _name(text: str) -> str:
    if not re.fullmatch(r"[\w.-]+", text) or text.startswith("."):
        raise argparse.ArgumentTypeError(f"wanted a name of letters and digits, found '{text}'")
    return text
