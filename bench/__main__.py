"""``python -m bench``: manage datasets, records, caches and bundles outside a pytest session."""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.commands import (
    accept,
    bisect,
    bundle,
    cache,
    compare,
    data,
    distill,
    doctor,
    ensemble,
    export,
    history,
    leaderboard,
    nightly,
    page,
    plan,
    predict,
    pretrain,
    show,
    simulate,
    tune,
    unbundle,
)
from bench.commands.command import CommandError, CommandParser
from bench.environment import cuda_present
from bench.extensions import ExtensionError, load_extensions
from bench.store import StoreError
from bench.threads import spin_briefly
from datasets_lib.layouts.category import DatasetError
from datasets_lib.paths import absolute_path

_DESCRIPTION = "Manage datasets, records, caches and bundles, and run nightly checks."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code, 0 for success."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # a file name that is not valid text must not end a command
            stream.reconfigure(errors="backslashreplace")
    parser = CommandParser(prog="python -m bench", description=_DESCRIPTION)
    parser.set_defaults(run=None)
    parser.add_argument(
        "--plugin",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="Python file that registers models, datasets, augmentations, metrics or studies "
        "(before the command)",
    )
    commands = parser.add_subparsers(metavar="COMMAND")
    for command in (
        *(data, doctor, plan, leaderboard, page, show),
        *(compare, history, ensemble, predict, export, nightly),
        *(accept, bisect, simulate, cache, tune, distill),
        *(pretrain, bundle, unbundle),
    ):
        command.add(commands)
    options = parser.parse_args(arguments)
    if options.run is None:
        parser.print_help(sys.stderr)
        return 2
    return _run(options)


def _run(options: argparse.Namespace) -> int:
    spin_briefly("cuda" if cuda_present() else "cpu")
    try:
        load_extensions(map(absolute_path, options.plugin))
        code: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (CommandError, DatasetError, ExtensionError, StoreError) as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"{place}{error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
