"""Folder contents: ids from folder names, listings in natural order, categories of a dataset."""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from datasets_lib.layouts.category import DatasetError, Sample

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})


def folder_id(name: str) -> str:
    """Return a folder's name as an id: lower case, other characters replaced by underscores.

    >>> folder_id("MVTec AD-2")
    'mvtec_ad_2'
    """
    return re.sub(r"[^a-z0-9_]", "_", name.lower())


def subfolders(folder: Path) -> list[Path]:
    """Return the visible folders in a folder.

    Raises:
        OSError: The folder cannot be listed.
    """
    with os.scandir(folder) as entries:
        return [Path(e.path) for e in entries if not e.name.startswith(".") and _is_folder(e)]


def ids_of(folders: Iterable[Path], kind: str) -> dict[str, Path]:
    """Return the folders by id, sorted by id.

    Args:
        folders: Folders of datasets or of categories.
        kind: ``datasets`` or ``categories``, for the error message.

    Raises:
        DatasetError: Two folders give the same id.
    """
    by_id: dict[str, Path] = {}
    for folder in sorted(folders):
        name = folder_id(folder.name)
        if name in by_id:
            raise DatasetError(
                f"Two {kind} would share the id '{name}': {by_id[name]} and {folder}. An id is "
                "the folder name in lower case with every character outside a-z, 0-9 and _ "
                "replaced by _; rename one of them or leave out its --data-dir."
            )
        by_id[name] = folder
    return dict(sorted(by_id.items()))


def categories_in(root: Path, is_category: Callable[[Path], bool]) -> dict[str, Path] | None:
    """Return the categories in a folder by id; None if there are none.

    Next to known categories, an unreadable folder counts as a category: its cases fail by name,
    while dropping it would silently shorten the benchmark.

    Raises:
        OSError: The folder cannot be listed.
        DatasetError: Two folders give the same id.
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


def marked_folder(root: Path, inner: tuple[str, ...], marker: str) -> Path | None:
    """Return the dataset's root or a folder in it that holds a marker; None if none does.

    Args:
        root: Folder of the dataset.
        inner: Possible names of its archive's top folder, in order of preference.
        marker: Relative path of a file or folder that the dataset always has.
    """
    for folder in (root, *(root / name for name in inner)):
        if (folder / marker).exists():
            return folder
    return None


class Listing(NamedTuple):
    """Names of files and folders in a folder, in natural order."""

    files: list[str]
    folders: list[str]


def list_folder(folder: Path, layout: str) -> Listing:
    """List the visible names in a folder in natural order (``2.png`` before ``10.png``).

    Args:
        folder: Folder to list.
        layout: Description of the expected layout for the error message.

    Raises:
        DatasetError: The folder cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            folder_by_name = {e.name: e.is_dir() for e in entries if not e.name.startswith(".")}
    except OSError as error:
        raise DatasetError(
            f"The folder {folder} cannot be listed: {error.strerror}. Wanted the layout {layout}; "
            "check that the folder is there and that you may read it."
        ) from error
    names = sorted(folder_by_name, key=natural)
    return Listing(
        [name for name in names if not folder_by_name[name]],
        [name for name in names if folder_by_name[name]],
    )


def list_images(folder: Path, layout: str) -> list[Path]:
    """List the image files of a folder; hidden files and other files are skipped.

    Raises:
        DatasetError: The folder cannot be listed.
    """
    return [folder / name for name in list_folder(folder, layout).files if is_image(name)]


def is_image(name: str) -> bool:
    """Return whether a file of this name counts as an image.

    >>> is_image("003.PNG")
    True
    """
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Return a sort key that puts ``2.png`` before ``10.png``.

    >>> sorted(["10.png", "2.png"], key=natural)
    ['2.png', '10.png']
    """
    parts = re.split(r"([0-9]+)", name)
    # Digits sort as numbers; the name itself breaks the tie between 1.png and 01.png.
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], name


def in_order(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """Sort samples: normal images first, each group in natural order."""
    return tuple(sorted(samples, key=lambda s: (s.defect is not None, natural(s.name))))


def in_words(suffixes: Iterable[str]) -> str:
    """Return suffixes as a list for an error message."""
    return ", ".join(sorted(suffixes))
