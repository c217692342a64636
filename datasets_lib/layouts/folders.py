"""Folder contents: ids from folder names, listings in natural order, categories of a dataset."""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from datasets_lib.layouts.category import DatasetError, Sample

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})


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


def marked_folder(root: Path, inner: tuple[str, ...], marker: str) -> Path | None:
    """The dataset's root, or a folder in it, that holds a marker; None if none does.

    Args:
        root: The dataset's folder.
        inner: Names of the top folder of its archives, in the order to look.
        marker: Path of a file or folder that the dataset always has.
    """
    for folder in (root, *(root / name for name in inner)):
        if (folder / marker).exists():
            return folder
    return None


class Listing(NamedTuple):
    """Names in a folder, in natural order."""

    files: list[str]
    folders: list[str]


def list_folder(folder: Path, layout: str) -> Listing:
    """Names in a folder in natural order (``2.png`` before ``10.png``), hidden ones left out.

    Args:
        folder: The folder.
        layout: The layout wanted, in words, for the message.

    Raises:
        DatasetError: It cannot be listed.
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
    """The image files of a folder; what is hidden or no image is passed over.

    Raises:
        DatasetError: It cannot be listed.
    """
    return [folder / name for name in list_folder(folder, layout).files if is_image(name)]


def is_image(name: str) -> bool:
    """Whether a file of this name is taken for an image."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """A sort key that puts ``2.png`` before ``10.png``."""
    parts = re.split(r"([0-9]+)", name)
    # The name itself decides between 1.png and 01.png.
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], name


def in_order(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """Samples that a list names in any order: normal ones first, each in natural order."""
    return tuple(sorted(samples, key=lambda s: (s.defect is not None, natural(s.name))))


def in_words(suffixes: Iterable[str]) -> str:
    """Suffixes as a message lists them."""
    return ", ".join(sorted(suffixes))
