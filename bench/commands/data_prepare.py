"""``python -m bench data prepare``: archives that a person fetched, made a dataset."""

import argparse
from pathlib import Path

from bench.commands.command import CommandError
from bench.commands.data_get import target_dir
from bench.commands.progress_line import ProgressLine
from datasets_lib.catalog import DATASETS
from datasets_lib.entry import Archive, DatasetEntry
from datasets_lib.folder_names import folder_id


def add(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the action."""
    action = actions.add_parser("prepare", help="unpack archives that you fetched yourself")
    action.add_argument("archives", nargs="+", type=Path, metavar="ARCHIVE")
    action.add_argument(
        "--as", dest="name", required=True, metavar="NAME", help="catalog name, or a name of yours"
    )
    action.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from datasets_lib.fetch.place import Piece, check, place

    entry = DATASETS.get(options.name)
    if entry and entry.embedded:
        raise CommandError(f"{entry.name} is embedded: there is nothing to prepare.")
    if not entry and folder_id(options.name) != options.name:
        raise CommandError(
            f"--as {options.name}: wanted a name of a-z, 0-9 and _, such as "
            f"{folder_id(options.name)}."
        )
    pieces = [Piece(_file(path), _archive(path, entry)) for path in options.archives]
    for piece in pieces:
        check(piece)
    line = ProgressLine(f"unpacking {options.name}")
    try:
        root = place(options.name, pieces, target_dir(options), line)
    finally:
        line.close()
    print(
        f"{options.name} is at {root}. Check every file: python -m bench data verify {options.name}"
    )
    return 0


def _file(path: Path) -> Path:
    if path.is_dir():
        raise CommandError(
            f"{path} is a folder, wanted an archive. A dataset that is unpacked already needs no "
            f"preparing: name the folder it lies in with --data-dir {path.absolute().parent}."
        )
    if not path.is_file():
        raise CommandError(f"{path}: there is no such file. Name the archive that you fetched.")
    return path.absolute()


def _archive(path: Path, entry: DatasetEntry | None) -> Archive | None:
    """Which of a dataset's archives a file is: by its name where there are several."""
    if entry is None or not entry.archives:
        return None
    if len(entry.archives) == 1:
        return entry.archives[0]
    by_name = {archive.file: archive for archive in entry.archives}
    if path.name not in by_name:
        raise CommandError(
            f"{path.name} is none of the archives of {entry.title}: {', '.join(by_name)}. Give "
            "it its publisher's name."
        )
    return by_name[path.name]
