"""``python -m bench leaderboard``: write the tables again from records."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands.command import CommandError
from bench.commands.record_files import add_records, records_of

if TYPE_CHECKING:
    from bench.record import Record

_FORMATS = ("md", "csv", "html", "json")

_BLOCK = re.compile(
    r"(<!-- results: (?P<study>\w+) (?P<place>[\w.]+) .*?-->\n).*?(<!-- /results -->)", re.DOTALL
)


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser("leaderboard", help="write LEADERBOARD.md and .csv from records")
    add_records(command, "records")
    command.add_argument(
        "--out", type=Path, default=Path("results"), help="folder to write to (default: results)"
    )
    command.add_argument(
        "--format",
        default="md,csv",
        metavar="md,csv,html,json",
        help="formats to write, comma-separated (default: md,csv)",
    )
    command.add_argument(
        "--lang", choices=("en", "ko"), default="en", help="language of the words (default: en)"
    )
    command.add_argument(
        "--picture",
        action="store_true",
        help="also draw leaderboard.png, and learning curves of classifiers",
    )
    command.add_argument(
        "--readme",
        type=Path,
        metavar="FILE",
        help="also update the tables between <!-- results: STUDY DATA … --> and <!-- /results "
        "--> in a Markdown file",
    )
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from bench.gc_paused import gc_paused

    with gc_paused():  # thousands of records live as long as the process
        return _write(options)


def _write(options: argparse.Namespace) -> int:
    from bench.report.leaderboard import write_leaderboard
    from bench.store import read_records

    formats = list(dict.fromkeys(filter(None, options.format.split(","))))
    if unknown := [name for name in formats if name not in _FORMATS]:
        raise CommandError(
            f"Wanted formats from {', '.join(_FORMATS)}, found {', '.join(unknown)}: correct "
            "--format."
        )
    records = read_records(records_of(options))
    for path in write_leaderboard(records, options.out, formats, options.lang):
        print(path)
    if options.picture:
        from bench.aggregate.language import language
        from bench.plots import all_dataset_curves, leaderboard_picture

        with language(options.lang):
            print(leaderboard_picture(records, options.out / "leaderboard.png"))
        for path in all_dataset_curves(records, options.out):
            print(path)
    if options.readme:
        _write_readme(options.readme, records)
        print(options.readme)
    return 0


def _write_readme(path: Path, records: "Sequence[Record]") -> None:
    """Replace the tables between a README's markers."""
    from bench.report.leaderboard import readme_block
    from datasets_lib.atomic import atomic_path

    if not path.is_file() or not _BLOCK.search(text := path.read_text(encoding="utf-8")):
        raise CommandError(
            f"Wanted a Markdown file with <!-- results: STUDY DATA … --> and <!-- /results -->, "
            f"found none at {path}: add the markers where the table belongs."
        )

    def block(match: re.Match[str]) -> str:
        try:
            table = readme_block(records, match["study"], match["place"])
        except KeyError as error:
            raise CommandError(f"{path}: {error.args[0]}: correct its marker.") from None
        return f"{match[1]}{table}\n{match[4]}"

    with atomic_path(path) as temporary:
        temporary.write_text(_BLOCK.sub(block, text), encoding="utf-8", newline="\n")
