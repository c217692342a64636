"""``python -m bench data get``: download, check, unpack, recognize."""

import argparse
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands.command import CommandError, cache_dir_of, data_dirs_of, folders
from bench.commands.licenses import acknowledge
from bench.commands.progress_line import ProgressLine
from bench.commands.sizes import megabytes
from datasets_lib.catalog import DATASETS
from datasets_lib.discover import FoundDataset, find_datasets
from datasets_lib.entry import DatasetEntry
from datasets_lib.layouts.category import DatasetError
from datasets_lib.paths import data_home

if TYPE_CHECKING:
    from datasets_lib.download.place import Piece

_DOWNLOADS = ".downloads"
"""Archives wait here for being unpacked; hidden, so that no dataset is looked for in it."""


def add(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the action."""
    action = actions.add_parser("get", help="download and unpack datasets")
    action.add_argument("names", nargs="+", metavar="NAME", help="catalog name, such as mvtec")
    action.add_argument(
        "--accept-license",
        action="store_true",
        help="I accept the licenses of these datasets (remembered)",
    )
    action.add_argument("--keep-archive", action="store_true", help="keep what was downloaded")
    action.set_defaults(run=_run)


def target_dir(options: argparse.Namespace) -> Path:
    """Where datasets are put: the first ``--data-dir``, else the data home; made if missing."""
    given = folders(options.data_dir or [])
    target = given[0] if given else data_home(cache_dir_of(options))
    target.mkdir(parents=True, exist_ok=True)
    return target


def known(name: str) -> DatasetEntry:
    """A dataset of the catalog.

    Raises:
        CommandError: It has none of that name.
    """
    import difflib

    if name in DATASETS:
        return DATASETS[name]
    near = difflib.get_close_matches(name.lower(), DATASETS, n=3, cutoff=0.5)
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    raise CommandError(f"No dataset '{name}'; there are {', '.join(DATASETS)}.{meant}")


def _run(options: argparse.Namespace) -> int:
    names = dict.fromkeys(known(name).name for name in options.names)
    data_dir = target_dir(options)
    found = find_datasets(data_dirs_of(options))
    failed = False
    for name in names:
        try:
            _get(DATASETS[name], found.get(name), data_dir, options)
        except (CommandError, DatasetError) as error:
            failed = True
            print(error, file=sys.stderr)
    return 2 if failed else 0


def _get(
    entry: DatasetEntry, here: FoundDataset | None, data_dir: Path, options: argparse.Namespace
) -> None:
    if entry.embedded:
        print(f"{entry.name} is embedded: there is nothing to get.")
        return
    if here is not None:
        lacking = [category for category in entry.categories if category not in here.categories]
        print(f"{entry.name} is already at {here.root}.")
        if lacking:
            raise CommandError(f"It lacks {', '.join(lacking)}: remove it to get it whole.")
        return
    if (data_dir / entry.name).exists():
        raise CommandError(
            f"{data_dir / entry.name} is there already, but it is not laid out as {entry.title}: "
            "nothing was fetched. Remove or rename it, or name another folder with --data-dir."
        )
    if not entry.archives or not all(archive.urls for archive in entry.archives):
        raise CommandError(by_hand(entry))
    acknowledge(entry, data_home(cache_dir_of(options)), options.accept_license)
    _fetch_and_place(entry, data_dir, options.keep_archive)


def by_hand(entry: DatasetEntry) -> str:
    """How a person gets what cannot be downloaded."""
    files = " ".join(archive.file for archive in entry.archives) or "ARCHIVE"
    return (
        f"{entry.title} ({entry.license}) has no address that a program may fetch it from. Get it "
        f"at {entry.homepage}, then: python -m bench data prepare {files} --as {entry.name}"
    )


def _fetch_and_place(entry: DatasetEntry, data_dir: Path, keep: bool) -> None:
    from datasets_lib.download.fetch import download
    from datasets_lib.download.place import Piece, checksum_of, place
    from datasets_lib.download.unpack import ArchiveError

    downloads = data_dir / _DOWNLOADS / entry.name
    pieces = []
    for archive in entry.archives:
        line = ProgressLine(archive.file)
        file = download(
            archive.urls,
            downloads / archive.file,
            checksum=checksum_of(archive),
            size=archive.bytes,
            progress=line,
        )
        line.close()
        pieces.append(Piece(file, archive))
    line = ProgressLine(f"unpacking {entry.name}")
    try:
        root = place(entry.name, pieces, data_dir, line)
    except ArchiveError:
        # Without a checksum only this tells; what stayed would be taken again the next time.
        _remove(pieces, downloads)
        raise
    finally:
        line.close()
    print(f"{entry.name} is at {root}. Check every file: python -m bench data verify {entry.name}")
    if keep:
        size = sum(piece.file.stat().st_size for piece in pieces)
        print(f"kept {downloads} ({megabytes(size)})")
    else:
        _remove(pieces, downloads)


def _remove(pieces: "list[Piece]", downloads: Path) -> None:
    for piece in pieces:
        piece.file.unlink(missing_ok=True)
    for folder in (downloads, downloads.parent):
        with suppress(OSError):  # not empty: another download's
            folder.rmdir()
