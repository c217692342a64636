"""Where datasets lie; imports nothing heavy, since options are read at collection."""

import os
from collections.abc import Sequence
from pathlib import Path

from datasets_lib.cache_dir import default_cache_dir


def data_home(cache_dir: Path | None = None) -> Path:
    """Where ``python -m bench data get`` unpacks to when no ``--data-dir`` is named."""
    return (cache_dir or default_cache_dir()) / "data"


def data_dirs(given: Sequence[Path] | None, cache_dir: Path | None = None) -> tuple[Path, ...]:
    """The folders of datasets: those given, else ``$PROVING_GROUND_DATA``'s; then the data home.

    Args:
        given: What ``--data-dir`` names; None where it does not occur.
        cache_dir: The cache's folder, if it is not the default one.
    """
    variable = os.environ.get("PROVING_GROUND_DATA", "")
    if given is None:
        given = [Path(part) for part in variable.split(os.pathsep) if part]
    folders = [folder.expanduser().absolute() for folder in given]
    home = data_home(cache_dir).absolute()
    return tuple(dict.fromkeys([*folders, home] if home.is_dir() else folders))
