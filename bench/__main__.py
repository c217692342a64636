"""``python -m bench``: what can be done with records and caches outside a pytest session."""

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it did what was asked."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(metavar="COMMAND")
    _add_leaderboard(commands)
    _add_cache(commands)
    _add_tune(commands)
    options = parser.parse_args(arguments)
    if options.run is None:
        parser.print_help(sys.stderr)
        return 2
    code: int = options.run(options)
    return code


def _add_leaderboard(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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
        "--picture", action="store_true", help="also draw leaderboard.png, seeds as dots"
    )
    command.set_defaults(run=_leaderboard)


def _leaderboard(options: argparse.Namespace) -> int:
    from bench.leaderboard import write_leaderboard
    from bench.store import read_records

    missing = [str(path) for path in options.records if not path.is_file()]
    if missing:
        print(
            f"No records at {', '.join(missing)}. Run some cases first, such as "
            "pytest bench -k rd_resnet18, or name the files.",
            file=sys.stderr,
        )
        return 2
    records = read_records(options.records)
    for path in write_leaderboard(records, options.out):
        print(path)
    if options.picture:
        from bench.pictures import leaderboard_picture

        print(leaderboard_picture(records, options.out / "leaderboard.png"))
    return 0


def _add_cache(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser("cache", help="show or clean the cache of decoded images")
    command.add_argument("action", choices=["info", "clean"])
    command.add_argument("--cache-dir", type=Path, help="default: the session's own")
    command.add_argument(
        "--older-than", type=float, metavar="DAYS", help="clean only what was not used for so long"
    )
    command.set_defaults(run=_cache)


def _cache(options: argparse.Namespace) -> int:
    from tabulate import tabulate

    from datasets_lib.cache import DecodeCache
    from datasets_lib.cache_dir import default_cache_dir

    root = options.cache_dir or default_cache_dir()
    cache = DecodeCache(root)
    if options.action == "clean":
        print(f"freed {cache.clean(options.older_than) / 1e6:.1f} MB below {root}")
        return 0
    entries = cache.info()
    rows = [[e.what, f"{e.bytes / 1e6:.1f} MB", _minute(e.last_used)] for e in entries]
    if rows:
        print(tabulate(rows, headers=["what", "size", "last used"], colalign=["left", "right"]))
    total = sum(entry.bytes for entry in entries) / 1e6
    print(f"{len(entries)} entries, {total:.1f} MB, below {root}")
    return 0


def _minute(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "minutes")[:16]


def _add_tune(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser("tune", help="choose a model's tuned recipe, on surface alone")
    command.add_argument("model", help="catalog name, such as rd_resnet18")
    command.add_argument("--weights-dir", action="append", type=Path, default=[], metavar="DIR")
    command.add_argument("--images-seen", type=int, default=800, metavar="N")
    command.add_argument("--out", type=Path, default=Path("results/tuning"), metavar="DIR")
    command.set_defaults(run=_tune)


def _tune(options: argparse.Namespace) -> int:
    from bench.run.job import CaseSkipped
    from bench.tune import settings_for, table, tune
    from models.catalog import MODELS

    if options.model not in MODELS:
        print(f"No model '{options.model}'; there are {', '.join(MODELS)}.", file=sys.stderr)
        return 2
    folders = tuple(folder.absolute() for folder in options.weights_dir)
    try:
        settings = settings_for(folders, options.out.absolute(), options.images_seen)
        print(table(tune(options.model, settings)))
    except CaseSkipped as skip:
        print(skip, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
