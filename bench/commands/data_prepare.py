"""``python -m bench data prepare``: turn archives that you downloaded yourself into a dataset."""

import argparse
import sys
from pathlib import Path

from bench.commands.command import CommandError
from bench.commands.data_get import target_dir
from bench.commands.output import ProgressBar
from datasets_lib.catalog import entry_named
from datasets_lib.discover import CUSTOM
from datasets_lib.entry import Archive, DatasetEntry
from datasets_lib.layouts.folders import folder_id


def add(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to the parser."""
    action = actions.add_parser("prepare", help="unpack archives that you downloaded yourself")
    action.add_argument("archives", nargs="+", type=Path, metavar="ARCHIVE")
    action.add_argument(
        "--as",
        dest="name",
        required=True,
        metavar="NAME",
        help="catalog name, or a name of your own",
    )
    action.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from datasets_lib.download.place import Piece, difference, place

    entry = entry_named(options.name)
    name = entry.name if entry else options.name
    if entry and entry.embedded:
        raise CommandError(f"{name} is embedded: there is nothing to prepare.")
    if not entry:
        _check_name(name)
    pieces = [Piece(_file(path), _archive(path, entry)) for path in options.archives]
    for piece in pieces:
        if (deviation := difference(piece)) is not None:
            print(_warning(piece.file, deviation, name), file=sys.stderr)
    with ProgressBar(f"unpacking {name}") as progress:
        root = place(name, pieces, target_dir(options), progress)
    print(f"{name} is at {root}. Check every file: python -m bench data verify {name}")
    return 0


def _check_name(name: str) -> None:
    if name == CUSTOM:
        raise CommandError(
            f"--as {name}: DIR/{name} is a folder of datasets, not a dataset. Wanted another name, "
            "such as my_parts."
        )
    if not name or folder_id(name) != name:
        raise CommandError(
            f"--as {name or repr(name)}: wanted a name of a-z, 0-9 and _, such as "
            f"{folder_id(name) or 'my_parts'}."
        )


def _warning(file: Path, deviation: str, name: str) -> str:
    return (
        f"warning: {file} is not the file that the catalog describes: {deviation}. It is "
        f"unpacked anyway and must be laid out as {name}; the publisher may have changed it, or it "
        "is damaged. Check the dataset with data verify."
    )


def _file(path: Path) -> Path:
    if path.is_dir():
        raise CommandError(
            f"{path} is a folder, wanted an archive. An unpacked dataset needs no "
            f"preparation: name its parent folder with --data-dir {path.absolute().parent}."
        )
    if not path.is_file():
        raise CommandError(f"{path}: no such file. Name the archive that you downloaded.")
    return path.absolute()


def _archive(path: Path, entry: DatasetEntry | None) -> Archive | None:
    """Return which of a dataset's archives a file is, by its name where there are several."""
    if entry is None or not entry.archives:
        return None
    if len(entry.archives) == 1:
        return entry.archives[0]
    by_name = {archive.file: archive for archive in entry.archives}
    if path.name not in by_name:
        raise CommandError(
            f"{path.name} is not an archive of {entry.title}: {', '.join(by_name)}. Give "
            "it the publisher's file name."
        )
    return by_name[path.name]
