"""Find the datasets below a data folder, from folder names alone; runs at collection."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from datasets_lib.catalog import CUSTOM_LAYOUTS, DATASETS, entry_named
from datasets_lib.entry import DatasetEntry, Finder, Layout, Reader, Task
from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.folders import folder_id, ids_of, subfolders
from datasets_lib.resolve import resolve_callable

CUSTOM = "custom"
"""Name of a folder below a data folder that is itself a data folder."""


class NameTakenError(DatasetError):
    """A folder has the name of a dataset that it cannot be; the message is a clause about it."""


@dataclass(frozen=True)
class FoundDataset:
    """One dataset on disk.

    Attributes:
        name: Dataset id: a catalog name, or the folder's name as an id.
        root: Folder of the dataset.
        categories: Path that the reader gets for each category, by id; empty for a dataset without
            categories.
        reader: Reader of the dataset, see `datasets_lib.entry.Reader`.
        task: Task of the models that run on it.
    """

    name: str
    root: Path
    categories: Mapping[str, Path]
    reader: Reader
    task: Task = "anomaly"


def find_datasets(data_dirs: Sequence[Path]) -> dict[str, FoundDataset]:
    """Return the datasets below these folders by id, sorted by id.

    A folder named like a dataset of the catalog is that dataset if its layout fits. Any other
    folder is a dataset of its own name if one of `CUSTOM_LAYOUTS` fits. Other folders are skipped,
    including unreadable ones and those whose name is taken. If several data folders hold the same
    dataset of the catalog, the first one wins.

    Raises:
        DatasetError: A data folder is missing or unreadable, or two folders give the same id: in
            one data folder, or for a dataset that is not in the catalog.
    """
    # Two names of the same folder count once.
    roots = {path.resolve(): path for path in data_dirs}.values()
    datasets: dict[str, FoundDataset] = {}
    for root in roots:
        local = _datasets_in(root)
        for name in local.keys() & datasets.keys() - DATASETS.keys():
            raise _duplicate(datasets[name], local[name])
        # Earlier data folders take precedence.
        datasets = local | datasets
    return dict(sorted(datasets.items()))


def installed_datasets() -> dict[str, FoundDataset]:
    """Return the datasets of the catalog that installed packages hold; imports no package."""
    datasets = {}
    for entry in DATASETS.values():
        spec = find_spec(folder_id(entry.package)) if entry.package else None
        for folder in map(Path, (spec and spec.submodule_search_locations) or ()):
            categories = _categories(entry.finder, folder)
            if categories is not None:
                found = FoundDataset(entry.name, folder, categories, entry.reader, entry.task)
                datasets[entry.name] = found
    return datasets


def available_datasets(data_dirs: Sequence[Path]) -> dict[str, FoundDataset]:
    """Return the datasets below these folders and, after them, those of installed packages.

    Raises:
        DatasetError: As for `find_datasets`.
    """
    return dict(sorted((installed_datasets() | find_datasets(data_dirs)).items()))


def recognize(folder: Path) -> FoundDataset | None:
    """Return the dataset in a folder; None if there is none.

    Raises:
        NameTakenError: The folder has the name of a built-in dataset or of one for another task.
        DatasetError: Two folders give the same category id.
    """
    name = folder_id(folder.name)
    entry = entry_named(name)
    if entry and not entry.embedded:
        categories = _categories(entry.finder, folder)
        if categories is not None:
            return FoundDataset(entry.name, folder, categories, entry.reader, entry.task)
    for layout in CUSTOM_LAYOUTS.values():
        categories = _categories(layout.finder, folder)
        if categories is None:
            continue
        if entry:
            _check_name(name, entry, layout)
        return FoundDataset(name, folder, categories, layout.reader, layout.task)
    return None


def _check_name(name: str, entry: DatasetEntry, layout: Layout) -> None:
    if entry.embedded:
        raise NameTakenError(f"'{name}' is the name of a built-in dataset: rename the folder")
    if entry.name == name and entry.task != layout.task:
        raise NameTakenError(
            f"it is laid out for {layout.task}, but '{name}' is the name of {entry.title}, a set "
            f"for {entry.task}: rename the folder, or put the set that it is named after there"
        )


def _datasets_in(data_dir: Path) -> dict[str, FoundDataset]:
    recognized = []
    for folder in _dataset_folders(data_dir):
        with suppress(NameTakenError):  # it alone is skipped; `bench data where` says why
            if dataset := recognize(folder):
                recognized.append(dataset)
    datasets: dict[str, FoundDataset] = {}
    for dataset in recognized:
        if dataset.name in DATASETS:
            if dataset.name in datasets:
                raise _duplicate(datasets[dataset.name], dataset)
            datasets[dataset.name] = dataset
    own = {dataset.root: dataset for dataset in recognized if dataset.name not in DATASETS}
    return datasets | {n: replace(own[root], name=n) for n, root in ids_of(own, "datasets").items()}


def _duplicate(first: FoundDataset, second: FoundDataset) -> DatasetError:
    return DatasetError(
        f"Two datasets would share the id '{first.name}': {first.root} and {second.root}. Rename "
        "one of them or leave out its --data-dir."
    )


def _dataset_folders(data_dir: Path) -> list[Path]:
    try:
        folders = subfolders(data_dir)
        custom = [folder for folder in folders if folder.name == CUSTOM]
        inner = [folder for outer in custom for folder in subfolders(outer)]
        return sorted([folder for folder in folders if folder not in custom] + inner)
    except OSError as error:
        raise DatasetError(
            f"The data folder {error.filename or data_dir} cannot be listed: {error.strerror}. "
            "Wanted a folder that holds one folder per dataset, such as mvtec/bottle/train/good; "
            "check --data-dir."
        ) from None


def _categories(finder: Finder, folder: Path) -> Mapping[str, Path] | None:
    try:
        categories = resolve_callable(finder)(folder)
    except OSError:
        return None
    except DatasetError:
        raise
    except Exception as error:
        raise DatasetError(
            f"The finder of {folder} failed with {type(error).__name__}: {error}. Wanted the "
            "categories in the folder, or None where it holds something else. Fix the finder."
        ) from error
    if categories is not None and not isinstance(categories, Mapping):
        raise DatasetError(
            f"The finder of {folder} returned a {type(categories).__name__}: wanted a dict from "
            "the ids of categories to their paths, or None. Fix the finder."
        )
    if categories is None:
        return None
    for name in categories:
        if not re.fullmatch("[a-z0-9_]+", name):
            raise DatasetError(
                f"The finder of {folder} returned the category {name!r}, which cannot be part of a "
                "case id: wanted lower-case letters, digits and underscores, as folder_id of "
                "datasets_lib.layouts.folders makes them. Fix the finder."
            )
    return MappingProxyType({name: Path(path) for name, path in categories.items()})
