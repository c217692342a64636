"""Explain folders that hold no dataset or category: missing, too deep, or laid out differently."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from bench.printable import printable
from datasets_lib.catalog import entry_named
from datasets_lib.discover import CUSTOM, FoundDataset, NameTakenError, find_datasets, recognize
from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.class_folders import class_names
from datasets_lib.layouts.folders import folder_id, is_junk, same_name, subfolders
from datasets_lib.layouts.masks import images_below, is_truth_folder
from datasets_lib.layouts.nearest import deeper, nearest_category, nearest_layout
from datasets_lib.layouts.plain_folders import ABNORMAL_NAMES
from datasets_lib.layouts.split import NORMAL_NAMES

_ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".xz", ".bz2"}
_MAX_NAMES = 4


def trouble_with(data_dir: Path) -> str | None:
    """Return why a data folder cannot be searched, or None if it can."""
    try:
        subfolders(data_dir)
    except FileNotFoundError:
        return "no such folder"
    except OSError as error:
        return f"cannot be listed: {error.strerror}"
    return None


def searchable(data_dirs: Sequence[Path]) -> list[Path]:
    """Return the folders that can be searched; commands that only look skip the others."""
    return [folder for folder in data_dirs if trouble_with(folder) is None]


def remarks(data_dir: Path, found: bool) -> Iterator[str]:
    """Yield notes on folders of a data folder that are not datasets, or of another task than meant.

    Args:
        data_dir: Folder that can be searched.
        found: Whether it holds a dataset; if not, it may be one itself.
    """
    if not found and (up := one_level_up(data_dir)):
        yield up
        return
    for dataset in find_datasets([data_dir]).values():
        if dataset.task == "classification" and _is_normal_or_not(dataset.root):
            yield (
                f"{printable(dataset.root)} is read as classification; for anomaly detection put "
                f"it in {printable(dataset.root)}/<category>"
            )
    for passed, hint in passed_over(data_dir):
        yield f"passed over {printable(passed)}: {hint}"


def _is_normal_or_not(root: Path) -> bool:
    """Return whether the classes of a set are a normal and an abnormal one."""
    names = class_names(root)
    has_both = not names.isdisjoint(NORMAL_NAMES) and not names.isdisjoint(ABNORMAL_NAMES)
    return len(names) == 2 and has_both


def passed_over(data_dir: Path) -> Iterator[tuple[Path, str]]:
    """Yield the subfolders that are no datasets, and those of datasets that are no categories.

    Each comes with a hint of why. Of a dataset only folders next to its categories count, and only
    if they hold images.
    """
    for folder in sorted(subfolders(data_dir)):
        if folder.name == CUSTOM:
            yield from passed_over(folder)
            continue
        try:
            dataset = recognize(folder)
        except NameTakenError as taken:
            yield folder, str(taken)
            continue
        if dataset is None:
            yield folder, _why(folder)
        else:
            yield from _no_categories(dataset)


def one_level_up(data_dir: Path) -> str | None:
    """Return which folder to name instead, if a data folder is itself a dataset or category."""
    with suppress(DatasetError):
        above, dataset = recognize(data_dir.parent), recognize(data_dir)
        inside = above is not None and data_dir in above.categories.values()
        # A folder of normal and abnormal images is a dataset of its own unless it has siblings.
        if above is not None and inside and (dataset is None or len(above.categories) > 1):
            return _instead(f"a category of {above.name}", data_dir.parent.parent)
        if dataset is not None:
            return _instead(f"the dataset {dataset.name}", data_dir.parent)
    return None


def _no_categories(dataset: FoundDataset) -> Iterator[tuple[Path, str]]:
    """Yield the folders next to a dataset's categories whose images or masks belong to none."""
    categories = set(dataset.categories.values())
    # A category that is the dataset's own folder has other datasets next to it.
    for parent in sorted({category.parent for category in categories - {dataset.root}}):
        for folder in sorted(set(subfolders(parent)) - categories):
            if is_truth_folder(folder.name):
                yield from _no_masks(folder, categories)
            elif any(images_below(folder)):
                yield folder, _why_no_category(folder)


def _no_masks(truth: Path, categories: Collection[Path]) -> Iterator[tuple[Path, str]]:
    """Yield what of a folder of masks next to categories is read with none of them."""
    if len(categories) == 1:  # all of it is searched
        return
    inner = sorted(subfolders(truth))
    names = {same_name(category.name) for category in categories}
    strange = [folder for folder in inner if same_name(folder.name) not in names]
    for folder in [truth] if strange == inner else strange:
        if any(images_below(folder)):
            yield folder, f"its masks belong to no category: wanted {truth.name}/<category>"


def _why_no_category(folder: Path) -> str:
    with suppress(DatasetError):
        if recognize(folder) is not None:
            return "it is a dataset of its own: move it next to the one that it lies in"
        if (clause := nearest_category(folder)) is not None:
            return printable(clause)
    return f"not laid out as the categories next to it: it holds {_some_of(folder)}"


def _instead(what: str, parent: Path) -> str:
    return f"this is {what} itself: name {printable(parent)} with --data-dir"


def _why(folder: Path) -> str:
    if trouble := trouble_with(folder):
        return trouble
    if below := deeper(folder, _is_dataset):
        where, levels = below
        many = "one level" if levels == 1 else f"{levels} levels"
        return f"a dataset lies {many} deeper: name {printable(where)} with --data-dir"
    files = _shown(folder)
    if not files:
        return "it is empty"
    if any(file.suffix in _ARCHIVES and file.is_file() for file in files):
        return "it holds archives: python -m bench data prepare unpacks one"
    entry = entry_named(folder_id(folder.name))
    with suppress(DatasetError):
        if entry is None and (clause := nearest_layout(folder)) is not None:
            return printable(clause)
    title = entry.title if entry else "any dataset"
    return f"not laid out as {title}: it holds {_some_of(folder)}"


def _shown(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if not is_junk(file.name))


def _some_of(folder: Path) -> str:
    files = _shown(folder)
    names = ", ".join(printable(file.name) for file in files[:_MAX_NAMES])
    return names + (", …" if len(files) > _MAX_NAMES else "")


def _is_dataset(folder: Path) -> bool:
    with suppress(DatasetError):
        return recognize(folder) is not None
    return False
