"""``python -m bench leaderboard``: write the tables again from records."""

import argparse
from pathlib import Path

from bench.commands.command import CommandError


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser("leaderboard", help="write LEADERBOARD.md and .csv from records")
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
        "--picture",
        action="store_true",
        help="also draw leaderboard.png, and learning curves of classifiers",
    )
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from bench.report.leaderboard import write_leaderboard
    from bench.store import read_records

    missing = [str(path) for path in options.records if not path.is_file()]
    if missing:
        raise CommandError(
            f"No records at {', '.join(missing)}. Run some cases first, such as "
            "pytest bench -k rd_resnet18, or name the files."
        )
    records = read_records(options.records)
    for path in write_leaderboard(records, options.out):
        print(path)
    if options.picture:
        from bench.plots import all_dataset_curves, leaderboard_picture

        print(leaderboard_picture(records, options.out / "leaderboard.png"))
        for path in all_dataset_curves(records, options.out):
            print(path)
    return 0
