"""Turn archives into a dataset below a data folder: unpack, recognize, rename."""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from datasets_lib.catalog import CUSTOM_LAYOUTS, DATASETS
from datasets_lib.download.unpack import Progress, unpack
from datasets_lib.entry import Archive, DatasetEntry
from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.folders import subfolders
from datasets_lib.layouts.nearest import nearest_layout
from datasets_lib.resolve import resolve_callable


@dataclass(frozen=True)
class Piece:
    """An archive on disk.

    Attributes:
        file: Path of the archive.
        archive: Its catalog entry; None for a dataset that is not in the catalog.
    """

    file: Path
    archive: Archive | None = None


def checksum_of(archive: Archive) -> str | None:
    """Return the checksum as `fetch.download` expects it; None if unknown."""
    if archive.sha256:
        return f"sha256:{archive.sha256}"
    return f"md5:{archive.md5}" if archive.md5 else None


def difference(piece: Piece) -> str | None:
    """Return how an archive differs from its catalog entry, as a clause.

    Returns:
        The actual and the expected size or checksum; None if they agree or none is published.

    Raises:
        DatasetError: The archive cannot be read.
    """
    if piece.archive is None:
        return None
    try:
        size = piece.file.stat().st_size
        if piece.archive.bytes not in (None, size):
            return f"{size:,} bytes were found, {piece.archive.bytes:,} were expected"
        if (checksum := checksum_of(piece.archive)) is None:
            return None
        kind, _, expected = checksum.partition(":")
        with piece.file.open("rb") as stream:
            digest = hashlib.file_digest(stream, kind).hexdigest()
    except OSError as error:
        raise DatasetError(
            f"Wanted to read the archive {piece.file}, found: {error.strerror}. Make it readable."
        ) from error
    return None if digest == expected else f"its {kind} is {digest}, {expected} was expected"


def place(
    name: str, pieces: Sequence[Piece], data_dir: Path, progress: Progress | None = None
) -> Path:
    """Unpack archives into ``data_dir/name``, completely or not at all.

    Top folders of an archive are optional: the dataset is the folder that its finder recognizes. A
    dataset of several archives may be placed archive by archive, even one, such as a list of
    splits, that no finder recognizes.

    Args:
        name: Catalog name, or a new name for the user's data in one of the custom layouts.
        pieces: Archives to unpack.
        data_dir: Data folder; created if missing.
        progress: Called with the bytes read of each archive in turn.

    Returns:
        The dataset's folder.

    Raises:
        DatasetError: An archive is damaged or unsafe or holds another dataset, the dataset exists
            already, or the disk is full.
    """
    final = data_dir / name
    entry = DATASETS.get(name)
    several = entry is not None and len(entry.archives) > 1
    if not several:
        _check_free(final)
    data_dir.mkdir(parents=True, exist_ok=True)
    staging = data_dir / f".{name}.preparing"
    lock = data_dir / f".{name}.lock"
    with FileLock(lock):
        try:
            if not several:
                _check_free(final)  # another process may have placed it while this one waited
            shutil.rmtree(staging, ignore_errors=True)  # left by a killed process
            whole = staging / "whole"
            for number, piece in enumerate(pieces):
                unpacked = staging / f"piece{number}"
                unpacked.mkdir(parents=True)
                unpack(piece.file, unpacked, progress)
                _merge(_stripped(unpacked, piece.archive), _target(whole, piece.archive))
            root = _dataset_root(whole, entry)
            if root is None and _is_part(whole, entry, pieces):
                root = whole
            if root is None:
                raise DatasetError(_unrecognized(name, entry, whole, pieces))
            if final.exists():
                _merge(root, final)
            else:
                root.rename(final)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    if not several:
        lock.unlink(missing_ok=True)  # later callers find the folder and need no lock
    return final


def _check_free(final: Path) -> None:
    if final.exists():
        raise DatasetError(
            f"{final} already exists. Remove it to have it unpacked again, or use it as it is."
        )


def _target(whole: Path, archive: Archive | None) -> Path:
    return whole / archive.into if archive and archive.into else whole


def _stripped(unpacked: Path, archive: Archive | None) -> Path:
    top = unpacked / archive.strip if archive and archive.strip else unpacked
    return top if top.is_dir() else unpacked


def _dataset_root(folder: Path, entry: DatasetEntry | None) -> Path | None:
    """Return the outermost folder that a finder recognizes along a chain of single folders."""
    finders = [entry.finder] if entry else [layout.finder for layout in CUSTOM_LAYOUTS.values()]
    for within in _single_folders(folder):
        if any(resolve_callable(finder)(within) is not None for finder in finders):
            return within
    return None


def _is_part(whole: Path, entry: DatasetEntry | None, pieces: Sequence[Piece]) -> bool:
    """Return whether some of a dataset's archives hold files or folders named after categories."""
    archives = [piece.archive for piece in pieces]
    if entry is None or len(entry.archives) < 2 or not set(archives) <= set(entry.archives):
        return False
    return any(
        path.stem in entry.categories
        for archive in archives
        for path in _target(whole, archive).rglob("*")
    )


def _single_folders(folder: Path) -> Iterator[Path]:
    """Yield a folder, the only folder in it if there is just one, and so on."""
    while True:
        yield folder
        # Licenses and read-me files may lie next to the folder.
        within = [path for path in subfolders(folder) if path.name != "__MACOSX"]
        if len(within) != 1:
            return
        folder = within[0]


def _merge(source: Path, target: Path) -> None:
    """Move the contents of a folder into another; move nothing if a file would be replaced."""
    clashes = [
        path.relative_to(source)
        for path in source.rglob("*")
        if not path.is_dir() and (target / path.relative_to(source)).exists()
    ]
    if clashes:
        raise DatasetError(
            f"{target.name} already has {clashes[0].as_posix()} and {len(clashes) - 1} more of "
            "these files. Remove the dataset's folder to have it unpacked again, or leave out the "
            "archive that it was unpacked from."
        )
    _move(source, target)


def _move(source: Path, target: Path) -> None:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
        return
    for path in list(source.iterdir()):
        if path.is_dir():
            _move(path, target / path.name)
        else:
            path.rename(target / path.name)


def _unrecognized(
    name: str, entry: DatasetEntry | None, whole: Path, pieces: Sequence[Piece]
) -> str:
    files = ", ".join(str(piece.file) for piece in pieces)
    contents = sorted(path.relative_to(whole).as_posix() for path in whole.rglob("*"))[:5]
    if entry is None:
        wanted = (
            "a layout such as <category>/train/good, test/good, test/<kind>, ground_truth/<kind>, "
            "normal and abnormal, or train/<class> and test/<class>"
        )
        remedy = "Name a dataset of the catalog with --as (python -m bench data list), or lay out "
        remedy += "its folders like that."
        if (nearest := _nearest(whole)) is not None:
            remedy = f"Its folders are close to a layout: {nearest}."
    else:
        names = f", with folders such as {entry.categories[0]}" if entry.categories else ""
        wanted = f"{entry.title}{names}"
        remedy = f"Get the archive of {name} again from {entry.homepage or 'its publisher'}."
    return f"{files} is not {wanted}: found {', '.join(contents)} … in it. {remedy}"


def _nearest(whole: Path) -> str | None:
    """Return what the outermost folder that resembles a layout needs."""
    clauses = (nearest_layout(folder) for folder in _single_folders(whole))
    return next((clause for clause in clauses if clause is not None), None)
