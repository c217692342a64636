"""Which datasets lie below a data folder, told from folder names alone; runs at collection."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from datasets_lib.catalog import CUSTOM_LAYOUTS, DATASETS
from datasets_lib.entry import DatasetEntry, Layout, Task
from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.folder_names import folder_id, subfolders
from datasets_lib.resolve import resolve_callable

CUSTOM = "custom"
"""A folder of this name below a data folder is a data folder itself."""


@dataclass(frozen=True)
class FoundDataset:
    """One dataset on disk.

    Attributes:
        name: Its id: a catalog name, or its folder's.
        root: Its folder.
        categories: What its reader reads for each category, by id; empty for a dataset without
            categories.
        reader: Import path of its reader, see `datasets_lib.entry.DatasetEntry`.
        task: What models are asked on it.
    """

    name: str
    root: Path
    categories: Mapping[str, Path]
    reader: str
    task: Task = "anomaly"


def find_datasets(data_dirs: Sequence[Path]) -> dict[str, FoundDataset]:
    """The datasets below these folders, by id, in the order of the ids.

    Of a dataset of the catalog in several data folders, the first data folder's is taken. A folder
    named like a dataset of the catalog is that dataset if it is laid out as one. Any other folder
    is a dataset of its own name if a custom layout fits it. What fits nothing is passed over,
    unreadable folders too.

    Raises:
        DatasetError: A data folder is missing or unreadable, or two folders give the id of a set
            that is not in the catalog, or lie in one data folder.
    """
    roots = {path.resolve(): path for path in data_dirs}.values()
    found: dict[str, FoundDataset] = {}
    for root in roots:
        here = _datasets_in(root)
        for name in here.keys() & found.keys() - DATASETS.keys():
            raise _two(found[name], here[name])
        found = here | found
    return dict(sorted(found.items()))


def entry_named(name: str) -> DatasetEntry | None:
    """The catalog's dataset of this id, or that goes by this folder name; None if none does."""
    aliases = (entry for entry in DATASETS.values() if name in entry.folders)
    return DATASETS.get(name) or next(aliases, None)


def recognize(folder: Path) -> FoundDataset | None:
    """The dataset a folder holds; None if it holds none.

    Raises:
        DatasetError: Two of its folders give one category id, or its name is that of a built-in
            set or of a known one for another task.
    """
    name = folder_id(folder.name)
    entry = entry_named(name)
    if entry and not entry.embedded:
        categories = _categories(Layout(entry.finder, entry.reader), folder)
        if categories is not None:
            return FoundDataset(entry.name, folder, categories, entry.reader, entry.task)
    for layout in CUSTOM_LAYOUTS:
        categories = _categories(layout, folder)
        if categories is None:
            continue
        if entry:
            _check_name(name, entry, layout, folder)
        return FoundDataset(name, folder, categories, layout.reader, layout.task)
    return None


def _check_name(name: str, entry: DatasetEntry, layout: Layout, folder: Path) -> None:
    if entry.embedded:
        raise DatasetError(
            f"The folder {folder} would be the dataset '{name}', which is the name of the "
            "built-in one. Rename the folder."
        )
    if entry.name == name and entry.task != layout.task:
        raise DatasetError(
            f"The folder {folder} is laid out for {layout.task}, but '{name}' is the name of "
            f"{entry.title}, a set for {entry.task}. Rename the folder, or put the set it is "
            "named after there."
        )


def _datasets_in(data_dir: Path) -> dict[str, FoundDataset]:
    found: dict[str, FoundDataset] = {}
    for folder in sorted(_dataset_folders(data_dir)):
        dataset = recognize(folder)
        if dataset is not None:
            if dataset.name in found:
                raise _two(found[dataset.name], dataset)
            found[dataset.name] = dataset
    return found


def _two(first: FoundDataset, second: FoundDataset) -> DatasetError:
    return DatasetError(
        f"Two datasets would share the id '{first.name}': {first.root} and {second.root}. Ids are "
        "folder names in lower case with other characters than a-z, 0-9 and _ as _; rename one of "
        "them or leave out its --data-dir."
    )


def _dataset_folders(data_dir: Path) -> list[Path]:
    try:
        folders = subfolders(data_dir)
        custom = [folder for folder in folders if folder.name == CUSTOM]
        return [f for f in folders if f not in custom] + [s for f in custom for s in subfolders(f)]
    except OSError as error:
        raise DatasetError(
            f"The data folder {error.filename or data_dir} cannot be listed: {error.strerror}. "
            "Wanted a folder that holds one folder per dataset, such as mvtec/bottle/train/good; "
            "check --data-dir."
        ) from None


def _categories(layout: Layout, folder: Path) -> Mapping[str, Path] | None:
    find: Callable[[Path], Mapping[str, Path] | None] = resolve_callable(layout.finder)
    try:
        categories = find(folder)
    except OSError:
        return None
    return None if categories is None else MappingProxyType(dict(categories))
