"""From archives to a dataset below a data folder: unpacked, recognized, and named last."""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets_lib.catalog import CUSTOM_LAYOUTS, DATASETS
from datasets_lib.download.file_lock import held, make_folder
from datasets_lib.download.unpack import Progress, unpack
from datasets_lib.entry import Archive, DatasetEntry
from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.folder_names import subfolders
from datasets_lib.resolve import resolve_callable


@dataclass(frozen=True)
class Piece:
    """An archive on disk.

    Attributes:
        file: Where it is.
        archive: What the catalog says of it; None for a dataset that is not in the catalog.
    """

    file: Path
    archive: Archive | None = None


def checksum_of(archive: Archive) -> str | None:
    """Its checksum as `datasets_lib.download.fetch.download` takes it; None where none is known."""
    if archive.sha256:
        return f"sha256:{archive.sha256}"
    return f"md5:{archive.md5}" if archive.md5 else None


def difference(piece: Piece) -> str | None:
    """How an archive differs from what the catalog says of it: what was found, and expected.

    Returns:
        Half a sentence; None where nothing is known of it, or it is as expected.

    Raises:
        DatasetError: It cannot be read.
    """
    if piece.archive is None:
        return None
    try:
        found_bytes = piece.file.stat().st_size
        if piece.archive.bytes not in (None, found_bytes):
            return f"{found_bytes:,} bytes were found, {piece.archive.bytes:,} were expected"
        if (checksum := checksum_of(piece.archive)) is None:
            return None
        kind, _, expected = checksum.partition(":")
        with piece.file.open("rb") as stream:
            found = hashlib.file_digest(stream, kind).hexdigest()
    except OSError as error:
        raise DatasetError(
            f"Wanted to read the archive {piece.file}, found: {error.strerror}. Make it readable."
        ) from error
    return None if found == expected else f"its {kind} is {found}, {expected} was expected"


def place(
    name: str, pieces: Sequence[Piece], data_dir: Path, progress: Progress | None = None
) -> Path:
    """Unpack archives into ``data_dir/name``, whole or not at all.

    The top folders of an archive may be there or not: the dataset is where its finder finds it.
    Archives of a dataset of several may come one after the other.

    Args:
        name: Catalog name, or any other for a layout that a user's own data may have.
        pieces: What to unpack.
        data_dir: Data folder; made if missing.
        progress: Told of bytes read of each archive in turn.

    Returns:
        The dataset's folder.

    Raises:
        DatasetError: An archive is damaged or unsafe, it is another dataset, it is there already,
            or the disk is full.
    """
    final = data_dir / name
    entry = DATASETS.get(name)
    several = entry is not None and len(entry.archives) > 1
    if not several:
        _check_free(final)
    data_dir.mkdir(parents=True, exist_ok=True)
    staging = data_dir / f".{name}.preparing"
    with held(staging, make_folder):
        try:
            if not several:
                _check_free(final)  # another process may have placed it while this one waited
            for left in staging.iterdir():  # by a process that was killed
                shutil.rmtree(left)
            whole = staging / "whole"
            for number, piece in enumerate(pieces):
                unpacked = staging / f"piece{number}"
                unpack(piece.file, unpacked, progress=progress)
                _merge(_stripped(unpacked, piece.archive), _target(whole, piece.archive))
            root = _dataset_root(whole, entry)
            if root is None:
                raise DatasetError(_unrecognized(name, entry, whole, pieces))
            if final.exists():
                _merge(root, final)
            else:
                root.rename(final)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return final


def _check_free(final: Path) -> None:
    if final.exists():
        raise DatasetError(
            f"{final} is there already. Remove it to have it unpacked again, or use it as it is."
        )


def _target(whole: Path, archive: Archive | None) -> Path:
    return whole / archive.into if archive and archive.into else whole


def _stripped(unpacked: Path, archive: Archive | None) -> Path:
    top = unpacked / archive.strip if archive and archive.strip else unpacked
    return top if top.is_dir() else unpacked


def _dataset_root(folder: Path, entry: DatasetEntry | None) -> Path | None:
    """The folder itself or, while it holds one other, that one; None if neither fits."""
    finders = [entry.finder] if entry else [layout.finder for layout in CUSTOM_LAYOUTS]
    while True:
        if any(resolve_callable(finder)(folder) is not None for finder in finders):
            return folder
        # Beside it may lie a license or a read-me.
        within = [path for path in subfolders(folder) if path.name != "__MACOSX"]
        if len(within) != 1:
            return None
        folder = within[0]


def _merge(source: Path, target: Path) -> None:
    """Move what is in a folder into another; nothing is moved if a file would be replaced."""
    clashes = [
        path.relative_to(source)
        for path in source.rglob("*")
        if not path.is_dir() and (target / path.relative_to(source)).exists()
    ]
    if clashes:
        raise DatasetError(
            f"{target.name} has {clashes[0].as_posix()} already, and {len(clashes) - 1} more of "
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
    found = sorted(path.relative_to(whole).as_posix() for path in whole.rglob("*"))[:5]
    if entry is None:
        wanted = (
            "a layout such as <category>/train/good, test/good, test/<kind>, ground_truth/<kind>, "
            "normal and abnormal, or train/<class> and test/<class>"
        )
        remedy = "Name a dataset of the catalog with --as (python -m bench data list), or lay out "
        remedy += "its folders so."
    else:
        names = f", with folders such as {entry.categories[0]}" if entry.categories else ""
        wanted = f"{entry.title}{names}"
        remedy = f"Get the archive of {name} again from {entry.homepage or 'its publisher'}."
    return f"{files} is not {wanted}: found {', '.join(found)} … in it. {remedy}"
