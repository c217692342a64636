"""``python -m bench tune``: choose a model's tuned recipe on the `surface` dataset alone."""

import argparse
from pathlib import Path

from bench.commands.command import CommandError, add_weights_dir, folders


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "tune", help="choose a model's tuned recipe on the surface dataset alone"
    )
    command.add_argument("model", help="catalog name, such as rd_resnet18")
    add_weights_dir(command)
    command.add_argument("--images-seen", type=int, default=800, metavar="N")
    command.add_argument("--out", type=Path, default=Path("results/tuning"), metavar="DIR")
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from models.catalog import MODELS

    if options.model not in MODELS:
        raise CommandError(f"No model '{options.model}'; available are {', '.join(MODELS)}.")
    from bench.run.job import CaseSkipped
    from bench.tune import settings_for, table, tune

    try:
        settings = settings_for(
            folders(options.weights_dir), options.out.absolute(), options.images_seen
        )
        print(table(tune(options.model, settings)))
    except CaseSkipped as skip:
        raise CommandError(str(skip)) from None
    return 0
