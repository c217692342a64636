"""Folders as ids: what a folder's name is called in a case's id, and which folders there are."""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from datasets_lib.layouts.category import DatasetError


def folder_id(name: str) -> str:
    """A folder's name as an id value: lower case, every other character an underscore."""
    return re.sub(r"[^a-z0-9_]", "_", name.lower())


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, hidden ones left out.

    Raises:
        OSError: It cannot be listed.
    """
    with os.scandir(folder) as entries:
        return [Path(e.path) for e in entries if not e.name.startswith(".") and _is_folder(e)]


def ids_of(folders: Iterable[Path], kind: str) -> dict[str, Path]:
    """The folders by their ids, in the order of the ids.

    Args:
        folders: Of one kind.
        kind: What they are, for the message: ``datasets`` or ``categories``.

    Raises:
        DatasetError: Two folders give one id.
    """
    by_id: dict[str, Path] = {}
    for folder in sorted(folders):
        name = folder_id(folder.name)
        if name in by_id:
            raise DatasetError(
                f"Two {kind} would share the id '{name}': {by_id[name]} and {folder}. Ids are "
                "folder names in lower case with other characters than a-z, 0-9 and _ as _; "
                "rename one of them or leave out its --data-dir."
            )
        by_id[name] = folder
    return dict(sorted(by_id.items()))


def categories_in(root: Path, is_category: Callable[[Path], bool]) -> dict[str, Path] | None:
    """The folders in a folder that are categories, by their ids; None without any.

    Beside known categories, a folder that cannot be looked into is kept: its cases then fail by
    name, where dropping it would quietly shorten the benchmark.

    Raises:
        OSError: It cannot be listed.
        DatasetError: Two folders give one id.
    """
    folders = subfolders(root)
    known = [folder for folder in folders if is_category(folder)]
    closed = [folder for folder in folders if not os.access(folder, os.R_OK | os.X_OK)]
    return ids_of({*known, *closed}, "categories") if known else None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
