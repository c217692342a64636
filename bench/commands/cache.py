"""``python -m bench cache``: show and clean what sessions keep to save time."""

import argparse
from datetime import datetime

from bench.arguments import days
from bench.commands.command import add_cache_dir, cache_dir_of
from bench.commands.output import megabytes


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "cache", help="show or clean decoded images, features, generated sets and hashes of files"
    )
    command.add_argument(
        "action",
        choices=["info", "clean"],
        help="clean removes all that info lists; generated sets are drawn again when needed",
    )
    add_cache_dir(command)
    command.add_argument(
        "--older-than",
        type=days,
        metavar="DAYS",
        help="clean only images and features that have not been used for this many days",
    )
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from tabulate import tabulate

    from bench.run.features.disk import FeatureDisk
    from datasets_lib.cache.decode_cache import DecodeCache

    root = cache_dir_of(options)
    cache, features = DecodeCache(root), FeatureDisk(root / "features")
    if options.action == "clean":
        freed = cache.clean(options.older_than) + features.clean(options.older_than)
        print(f"freed {megabytes(freed)} below {root}")
        return 0
    entries = [(e.what, e.bytes, e.last_used) for e in cache.info()] + features.entries()
    rows = [(what, size, _minute(used)) for what, size, used in entries]
    rows += [(what, size, "–") for what, size in cache.others()]
    if rows:
        shown = [[what, megabytes(size), used] for what, size, used in rows]
        print(tabulate(shown, headers=["what", "size", "last used"], colalign=["left", "right"]))
    total = sum(size for _, size, _ in rows)
    print(f"{len(rows)} entries, {megabytes(total)}, below {root}")
    return 0


def _minute(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "minutes")[:16]
