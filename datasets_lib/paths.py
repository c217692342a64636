"""Default folders of caches and datasets, and their size.

Light, since options are read at collection.
"""

import os
from collections.abc import Sequence
from pathlib import Path


def absolute_path(path: Path) -> Path:
    """Return the absolute path that a user named, without ``..``; links are followed only there.

    >>> absolute_path(Path("/parts/../data")).as_posix()
    '/data'
    """
    path = path.expanduser().absolute()
    return path.resolve() if ".." in path.parts else path


def default_cache_dir() -> Path:
    """Return ``$PROVING_GROUND_CACHE``, else ``proving_ground`` in the user's cache folder."""
    if chosen := os.environ.get("PROVING_GROUND_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "proving_ground"


def data_home(cache_dir: Path | None = None) -> Path:
    """Return the folder that ``python -m bench data get`` fills when no ``--data-dir`` is given.

    Args:
        cache_dir: Cache folder; the default one if None.

    Example:
        >>> data_home(Path("/scratch/cache")).as_posix()
        '/scratch/cache/data'
    """
    return (cache_dir or default_cache_dir()) / "data"


def data_dirs(given: Sequence[Path] | None, cache_dir: Path | None = None) -> tuple[Path, ...]:
    """Return the data folders: those given, else ``$PROVING_GROUND_DATA``; then the data home.

    Args:
        given: Values of ``--data-dir``; None if the option is absent.
        cache_dir: Cache folder; the default one if None.
    """
    variable = os.environ.get("PROVING_GROUND_DATA", "")
    if given is None:
        given = [Path(part) for part in variable.split(os.pathsep) if part]
    folders = list(map(absolute_path, given))
    home = absolute_path(data_home(cache_dir))
    return tuple(dict.fromkeys([*folders, home] if home.is_dir() else folders))


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder; files that vanish meanwhile are left out."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 - walks many
            except OSError:
                continue
    return total
