"""``python -m bench page``: write the results as one HTML page, with a page per run."""

import argparse
from pathlib import Path

from bench.commands.record_files import add_records, records_of


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "page", help="write index.html from records: tables, charts and a page per run"
    )
    add_records(command, "records")
    command.add_argument(
        "--out", type=Path, default=Path("results"), help="folder to write to (default: results)"
    )
    command.add_argument(
        "--lang", choices=["en", "ko"], default="en", help="language of the page (default: en)"
    )
    command.add_argument(
        "--no-cases", dest="cases", action="store_false", help="write index.html alone"
    )
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from bench.gc_paused import gc_paused
    from bench.page.page import write_page

    files = records_of(options)
    with gc_paused():  # thousands of records live as long as the process
        print(write_page(files, options.out, options.lang, cases=options.cases))
    return 0
