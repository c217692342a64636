"""The files of records that commands read: their argument or option, and what is missing."""

import argparse
import os
from pathlib import Path

from bench.commands.command import CommandError
from bench.provenance.fingerprint import ROOT

RECORDS = Path("results/runs/records.jsonl")
"""Where a session in this folder writes its records."""


def add_records(command: argparse.ArgumentParser, name: str = "--records") -> None:
    """Add the files of records to a command, as an option or as its arguments.

    Args:
        command: Parser of the command.
        name: ``--records``, or ``records`` for arguments without the option's name.
    """
    command.add_argument(
        name,
        nargs="+" if name.startswith("-") else "*",
        type=Path,
        default=[RECORDS],
        metavar="FILE",
        help=f"JSONL files of records, in the runs folder of the results (default: {RECORDS})",
    )


def records_of(options: argparse.Namespace) -> list[Path]:
    """Return the absolute paths of the files of records that were named, or the session's own.

    Raises:
        CommandError: One of them does not exist.
    """
    files: list[Path] = options.records
    if missing := [str(path) for path in files if not path.is_file()]:
        written = ROOT / RECORDS
        advice = (
            f"Sessions of this clone write theirs to {written}: name that file"
            if files == [RECORDS] and written.is_file()
            else "Run some cases first, such as pytest bench -k rd_resnet18, or name the files of "
            "records"
        )
        raise CommandError(f"No records at {', '.join(missing)}. {advice}, as --help says.")
    return [Path(os.path.abspath(path)) for path in files]  # noqa: PTH100 - a link stays
