"""``python -m bench data prepare``: archives that a person fetched, made a dataset."""

import argparse
import sys
from pathlib import Path

from bench.commands.command import CommandError
from bench.commands.data_get import target_dir
from bench.commands.progress_line import ProgressLine
from datasets_lib.catalog import entry_named
from datasets_lib.discover import CUSTOM
from datasets_lib.entry import Archive, DatasetEntry
from datasets_lib.layouts.folders import folder_id


def add(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the action."""
    action = actions.add_parser("prepare", help="unpack archives that you fetched yourself")
    action.add_argument("archives", nargs="+", type=Path, metavar="ARCHIVE")
    action.add_argument(
        "--as", dest="name", required=True, metavar="NAME", help="catalog name, or a name of yours"
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
        if (found := difference(piece)) is not None:
            print(_warning(piece.file, found, name), file=sys.stderr)
    line = ProgressLine(f"unpacking {name}")
    try:
        root = place(name, pieces, target_dir(options), line)
    finally:
        line.close()
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


def _warning(file: Path, found: str, name: str) -> str:
    return (
        f"warning: {file} is not the file that the catalog describes: {found}. It is unpacked all "
        f"the same and must be laid out as {name}; the publisher may have changed it, or it is "
        "damaged. Check what comes of it with data verify."
    )


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
