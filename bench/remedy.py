"""Commands that get what cases are missing, ready to copy; imports no torch."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from datasets_lib.catalog import DATASETS
from datasets_lib.entry import DatasetEntry
from models.catalog import WEIGHTS
from models.components.weights import hub_folder


def remedy(what: str, weights_dirs: Sequence[Path], data_dirs: Sequence[Path]) -> str:
    """Return the command that gets something missing.

    Args:
        what: What is missing, as in `bench.needs.Missing`.
        weights_dirs: Folders of weights that the user named; the first is written to.
        data_dirs: Folders of datasets that the user named; the first is written to.
    """
    kind, _, name = what.partition(" ")
    if kind == "weights":
        return _weights_remedy(name, weights_dirs)
    return dataset_remedy(name.partition(".")[0], data_dirs)


def dataset_remedy(name: str, data_dirs: Sequence[Path] = ()) -> str:
    """Return how to get a dataset, with its license and homepage.

    Args:
        name: Id of the dataset.
        data_dirs: Folders of datasets that the user named; the first is written to.
    """
    entry = DATASETS.get(name)
    if entry is None:
        return f"restore its folder: {name} is your own dataset and cannot be downloaded"
    if entry.package:
        return f"{package_remedy(entry)}  ({entry.license}; {entry.homepage})"
    place = f" --data-dir {_quoted(data_dirs[0])}" if data_dirs else ""
    if entry.archives and all(archive.urls for archive in entry.archives):
        return f"python -m bench data get {name}{place}  ({entry.license}; {entry.homepage})"
    files = " ".join(shlex.quote(archive.file) for archive in entry.archives) or "ARCHIVE"
    return (
        f"python -m bench data prepare {files} --as {name}{place}  "
        f"(files by hand from {entry.homepage}; {entry.license})"
    )


def package_remedy(entry: DatasetEntry) -> str:
    """Return how to install the package that holds a dataset."""
    return f"uv sync --extra data, or pip install {entry.package}"


def _weights_remedy(tag: str, weights_dirs: Sequence[Path]) -> str:
    entry = WEIGHTS[tag]
    if entry.parts:
        return " && ".join(_weights_remedy(part, weights_dirs) for part in entry.parts)
    file = hub_folder() / entry.file_name
    if weights_dirs:
        file = weights_dirs[0] / f"{tag}{Path(entry.file_name).suffix}"
    fetch = f"curl -fL --create-dirs -o {_quoted(file)} {shlex.quote(entry.url)}"
    return f"{fetch}  (or train them: {entry.made_by})" if entry.made_by else fetch


def _quoted(path: Path) -> str:
    """Quote a path for a shell; in the ``$''`` of bash and zsh if it is not printable."""
    if str(path).isprintable():
        return shlex.quote(str(path))
    plain = set(range(0x20, 0x7F)) - set(b"\\'")
    code = (chr(byte) if byte in plain else f"\\x{byte:02x}" for byte in os.fsencode(path))
    return f"$'{''.join(code)}'"
