"""``python -m bench cache``: what decoded images take, and making room."""

import argparse
from datetime import datetime

from bench.commands.command import add_cache_dir, cache_dir_of


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    command = commands.add_parser("cache", help="show or clean the cache of decoded images")
    command.add_argument("action", choices=["info", "clean"])
    add_cache_dir(command)
    command.add_argument(
        "--older-than", type=float, metavar="DAYS", help="clean only what was not used for so long"
    )
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from tabulate import tabulate

    from datasets_lib.cache import DecodeCache

    root = cache_dir_of(options)
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
