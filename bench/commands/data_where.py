"""``python -m bench data where``: list the searched folders, in order, and their contents."""

import argparse
import os
from collections.abc import Collection
from pathlib import Path

from bench.commands.command import add_weights_dir, cache_dir_of, data_dirs_of, folders
from bench.commands.data_folders import remarks, trouble_with
from bench.commands.output import free_bytes, megabytes
from bench.printable import printable
from datasets_lib.catalog import DATASETS
from datasets_lib.discover import find_datasets, installed_datasets
from datasets_lib.paths import data_home, folder_bytes
from models.components.weights import FOLDER_VARIABLE, SUFFIXES, hub_folder


def add(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to the parser."""
    action = actions.add_parser(
        "where", help="list the folders that are searched, and their contents"
    )
    add_weights_dir(action)
    action.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    cache = cache_dir_of(options)
    dirs = data_dirs_of(options)
    print("datasets, searched in this order:")
    seen: set[str] = set()
    for number, folder in enumerate(dirs, 1):
        trouble = trouble_with(folder)
        state = f": {trouble}" if trouble else ""
        print(f"  {number}. {printable(folder)}  ({_why(folder, options, cache)}){state}")
        if trouble:
            continue
        found = find_datasets([folder])
        for name, dataset in found.items():
            count, size = _count(dataset.categories), megabytes(folder_bytes(dataset.root))
            hidden = ", not used: an earlier folder has its id" if name in seen else ""
            seen.add(name)
            place = f"{printable(dataset.root)} ({dataset.task}, {size})"
            print(f"       {name}{count}: {place}{hidden}")
        for line in remarks(folder, bool(found)):
            print(f"       {line}")
    if not dirs:
        print("  none: name one with --data-dir or $PROVING_GROUND_DATA")
    for name, dataset in installed_datasets().items():
        hidden = ", not used: an earlier folder has its id" if name in seen else ""
        print(f"  installed: {name}: {printable(dataset.root)}{hidden}")
    target = folders(options.data_dir)[0] if options.data_dir else data_home(cache)
    print(f"  data get writes to {printable(target)} ({megabytes(free_bytes(target))} free)")
    print(f"  embedded: {', '.join(name for name, e in DATASETS.items() if e.embedded)}")
    used, free = megabytes(folder_bytes(cache)), megabytes(free_bytes(cache))
    print(f"cache: {printable(cache)} ({used}, {free} free)")
    print("weights, searched in this order:")
    named = os.environ.get(FOLDER_VARIABLE)
    named_dirs = [*folders(options.weights_dir), *([Path(named)] if named else [])]
    for number, folder in enumerate([*named_dirs, hub_folder()], 1):
        print(f"  {number}. {printable(folder)}  ({_weights(folder)})")
    return 0


def _count(categories: Collection[str]) -> str:
    if not categories:
        return ""
    return f", {len(categories)} categor{'ies' if len(categories) > 1 else 'y'}"


def _why(folder: Path, options: argparse.Namespace, cache: Path) -> str:
    if folder in folders(options.data_dir or []):
        return "--data-dir"
    return "the data home" if folder == data_home(cache) else "$PROVING_GROUND_DATA"


def _weights(folder: Path) -> str:
    if not folder.is_dir():
        return "no such folder"
    files = [file for file in folder.iterdir() if file.suffix in SUFFIXES]
    return f"{len(files)} files, {megabytes(sum(file.stat().st_size for file in files))}"
