"""Which datasets lie below a data folder, told from folder names alone; runs at collection."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from datasets_lib.catalog import DATASETS
from datasets_lib.layout import DatasetError


@dataclass(frozen=True)
class FoundDataset:
    """One dataset on disk.

    Attributes:
        name: Its id, from its folder's name.
        root: Its folder.
        categories: Folder of each category, by id, in the order of the ids.
    """

    name: str
    root: Path
    categories: Mapping[str, Path]


def folder_id(name: str) -> str:
    """A folder's name as an id value: lower case, every other character an underscore."""
    return re.sub(r"[^a-z0-9_]", "_", name.lower())


def find_datasets(data_dirs: Sequence[Path]) -> dict[str, FoundDataset]:
    """The datasets below these folders, by id, in the order of the ids.

    A folder is a dataset if at least one folder in it is a category, that is, holds
    ``train/good`` and ``test``. Anything else is passed over, unreadable folders too.

    Raises:
        DatasetError: A data folder is missing or unreadable, or two folders give one id.
    """
    roots = {path.resolve(): path for path in data_dirs}.values()
    folders = [folder for root in roots for folder in _data_dir_folders(root)]
    found = {folder: categories for folder in folders if (categories := _categories(folder))}
    by_id = _by_id(found, "datasets")
    for name, folder in by_id.items():
        if name in DATASETS and DATASETS[name].generator:
            raise DatasetError(
                f"The folder {folder} would be the dataset '{name}', which is the name of the "
                "built-in generated one. Rename the folder."
            )
    return {name: FoundDataset(name, folder, found[folder]) for name, folder in by_id.items()}


def _data_dir_folders(data_dir: Path) -> list[Path]:
    try:
        return _subfolders(data_dir)
    except OSError as error:
        raise DatasetError(
            f"The data folder {data_dir} cannot be listed: {error.strerror}. Wanted a folder that "
            "holds one folder per dataset, such as mvtec/bottle/train/good; check --data-dir."
        ) from None


def _categories(dataset: Path) -> Mapping[str, Path]:
    try:
        folders = _subfolders(dataset)
    except OSError:
        return {}
    known = [folder for folder in folders if _is_category(folder)]
    # Beside known categories, one that cannot be looked into is kept: its cases then fail by
    # name, where dropping it would quietly shorten the benchmark.
    closed = [folder for folder in folders if not os.access(folder, os.R_OK | os.X_OK)]
    return MappingProxyType(_by_id({*known, *closed}, "categories") if known else {})


def _is_category(folder: Path) -> bool:
    # os.path.isdir answers False where Path.is_dir raises on a folder it may not enter.
    return os.path.isdir(folder / "train" / "good") and os.path.isdir(folder / "test")  # noqa: PTH112


def _subfolders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return [Path(e.path) for e in entries if not e.name.startswith(".") and _is_folder(e)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _by_id(folders: Iterable[Path], kind: str) -> dict[str, Path]:
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
