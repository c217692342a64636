"""Explain data folders that hold no dataset: missing, a level too deep, or laid out otherwise."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from bench.commands.output import printable_path
from datasets_lib.catalog import DATASETS
from datasets_lib.discover import CUSTOM, recognize
from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.folders import folder_id, subfolders

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
        above = recognize(data_dir.parent)
        if above is not None and data_dir in above.categories.values():
            return _instead(f"a category of {above.name}", data_dir.parent.parent)
        if dataset := recognize(data_dir):
            return _instead(f"the dataset {dataset.name}", data_dir.parent)
    return None


def _instead(what: str, parent: Path) -> str:
    return f"this is {what} itself: name {printable_path(parent)} with --data-dir"


def _why(folder: Path) -> str:
    if trouble := trouble_with(folder):
        return trouble
    if any(map(_is_dataset, subfolders(folder))):
        return f"a dataset lies one level deeper: name {printable_path(folder)} with --data-dir"
    files = sorted(folder.iterdir())
    if not files:
        return "it is empty"
    if any(file.suffix in _ARCHIVES and file.is_file() for file in files):
        return "it holds archives: python -m bench data prepare unpacks one"
    names = ", ".join(printable_path(Path(file.name)) for file in files[:_MAX_NAMES])
    names += ", …" if len(files) > _MAX_NAMES else ""
    entry = DATASETS.get(folder_id(folder.name))
    return f"not laid out as {entry.title if entry else 'any dataset'}, it holds {names}"


def _is_dataset(folder: Path) -> bool:
    with suppress(DatasetError):
        return recognize(folder) is not None
    return False
