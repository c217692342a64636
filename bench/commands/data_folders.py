"""Explain data folders that hold no dataset: missing, a level too deep, or laid out differently."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from bench.commands.output import printable_path
from datasets_lib.catalog import entry_named
from datasets_lib.discover import CUSTOM, recognize
from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.folders import folder_id, is_junk, subfolders
from datasets_lib.layouts.nearest import deeper, nearest_layout

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
    """Yield notes on folders of a data folder that are not datasets.

    Args:
        data_dir: Folder that can be searched.
        found: Whether it holds a dataset; if not, it may be one itself.
    """
    if not found and (up := one_level_up(data_dir)):
        yield up
        return
    for passed, hint in passed_over(data_dir):
        yield f"passed over {printable_path(passed)}: {hint}"


def passed_over(data_dir: Path) -> Iterator[tuple[Path, str]]:
    """Yield the subfolders that are not recognized as datasets, each with a hint of why."""
    for folder in sorted(subfolders(data_dir)):
        if folder.name == CUSTOM:
            yield from passed_over(folder)
        elif recognize(folder) is None:
            yield folder, _why(folder)


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


def _instead(what: str, parent: Path) -> str:
    return f"this is {what} itself: name {printable_path(parent)} with --data-dir"


def _why(folder: Path) -> str:
    if trouble := trouble_with(folder):
        return trouble
    if below := deeper(folder, _is_dataset):
        where, levels = below
        many = "one level" if levels == 1 else f"{levels} levels"
        return f"a dataset lies {many} deeper: name {printable_path(where)} with --data-dir"
    files = sorted(file for file in folder.iterdir() if not is_junk(file.name))
    if not files:
        return "it is empty"
    if any(file.suffix in _ARCHIVES and file.is_file() for file in files):
        return "it holds archives: python -m bench data prepare unpacks one"
    entry = entry_named(folder_id(folder.name))
    with suppress(DatasetError):
        if entry is None and (clause := nearest_layout(folder)) is not None:
            return printable_path(clause)
    names = ", ".join(printable_path(Path(file.name)) for file in files[:_MAX_NAMES])
    names += ", …" if len(files) > _MAX_NAMES else ""
    return f"not laid out as {entry.title if entry else 'any dataset'}: it holds {names}"


def _is_dataset(folder: Path) -> bool:
    with suppress(DatasetError):
        return recognize(folder) is not None
    return False
