"""``python -m bench unbundle``: unpack a bundle where the project is installed already."""

import argparse
from pathlib import Path

from bench.commands.command import CommandError


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser("unbundle", help="check and unpack a bundle")
    command.add_argument("bundle", type=Path)
    command.add_argument(
        "--to", type=Path, required=True, metavar="DIR", help="a new or empty folder"
    )
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from bench.airgap.unbundle import BundleError, next_steps, unbundle

    try:
        manifest = unbundle(options.bundle, options.to)
    except BundleError as error:
        raise CommandError(str(error)) from None
    print("\n".join(next_steps(manifest, options.to)))
    return 0
