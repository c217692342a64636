"""``python -m bench page``: write the results as one HTML page, with a page per run."""

import argparse
from pathlib import Path

from bench.commands.command import CommandError


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "page", help="write index.html from records: tables, charts and a page per run"
    )
    command.add_argument(
        "records",
        nargs="*",
        type=Path,
        default=[Path("results/runs/records.jsonl")],
        help="JSONL files of records (default: results/runs/records.jsonl)",
    )
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

    missing = [str(path) for path in options.records if not path.is_file()]
    if missing:
        raise CommandError(
            f"No records at {', '.join(missing)}. Run some cases first, such as "
            "pytest bench -k rd_resnet18, or name the files."
        )
    with gc_paused():  # thousands of records live as long as the process
        print(write_page(options.records, options.out, options.lang, cases=options.cases))
    return 0
