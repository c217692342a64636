"""``python -m bench data get``: download datasets, check and unpack them."""

import argparse
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands.command import CommandError, cache_dir_of, data_dirs_of, folders
from bench.commands.output import ProgressBar, megabytes
from bench.near_names import did_you_mean
from bench.remedy import package_remedy
from datasets_lib.catalog import DATASETS
from datasets_lib.discover import FoundDataset, available_datasets
from datasets_lib.entry import DatasetEntry
from datasets_lib.layouts.category import DatasetError
from datasets_lib.paths import data_home

if TYPE_CHECKING:
    from datasets_lib.download.place import Piece

_DOWNLOADS = ".downloads"
"""Folder of archives that wait to be unpacked; hidden, so that it is not mistaken for a dataset."""


def add(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to the parser."""
    action = actions.add_parser("get", help="download and unpack datasets")
    action.add_argument("names", nargs="+", metavar="NAME", help="catalog name, such as mvtec")
    action.add_argument(
        "--accept-license",
        action="store_true",
        help="accept the licenses of these datasets; remembered for the next time",
    )
    action.add_argument("--keep-archive", action="store_true", help="keep the downloaded archives")
    action.set_defaults(run=_run)


def target_dir(options: argparse.Namespace) -> Path:
    """Return the folder to write datasets to, ``--data-dir`` or the data home; create it."""
    given = folders(options.data_dir or [])
    target = given[0] if given else data_home(cache_dir_of(options))
    target.mkdir(parents=True, exist_ok=True)
    return target


def dataset_entry(name: str) -> DatasetEntry:
    """Return a dataset of the catalog.

    Raises:
        CommandError: The catalog has no such dataset; close names are suggested.
    """
    if name in DATASETS:
        return DATASETS[name]
    hint = did_you_mean(name, DATASETS, " Did you mean")
    raise CommandError(f"No dataset '{name}'; choose from {', '.join(DATASETS)}.{hint}")


def _run(options: argparse.Namespace) -> int:
    names = dict.fromkeys(dataset_entry(name).name for name in options.names)
    data_dir = target_dir(options)
    existing = available_datasets(data_dirs_of(options))
    failed = False
    for name in names:
        try:
            _get(DATASETS[name], existing.get(name), data_dir, options)
        except (CommandError, DatasetError) as error:
            failed = True
            print(error, file=sys.stderr)
    return 2 if failed else 0


def _get(
    entry: DatasetEntry, existing: FoundDataset | None, data_dir: Path, options: argparse.Namespace
) -> None:
    if entry.embedded:
        print(f"{entry.name} is embedded: there is nothing to get.")
        return
    if existing is not None:
        missing = [category for category in entry.categories if category not in existing.categories]
        print(f"{entry.name} is already at {existing.root}.")
        if missing:
            raise CommandError(
                f"It lacks {', '.join(missing)}: remove it, then get the whole dataset."
            )
        return
    if (data_dir / entry.name).exists():
        raise CommandError(
            f"{data_dir / entry.name} already exists, but is not laid out as {entry.title}: "
            "nothing was downloaded. Remove or rename it, or name another folder with --data-dir."
        )
    if not entry.archives or not all(archive.urls for archive in entry.archives):
        raise CommandError(by_hand(entry))
    acknowledge(entry, data_home(cache_dir_of(options)), options.accept_license)
    _fetch_and_place(entry, data_dir, options.keep_archive)


def by_hand(entry: DatasetEntry) -> str:
    """Return how to get a dataset that cannot be downloaded by a program."""
    if entry.package:
        return f"{entry.title} ({entry.license}) is a Python package: {package_remedy(entry)}"
    files = " ".join(archive.file for archive in entry.archives) or "ARCHIVE"
    return (
        f"{entry.title} ({entry.license}) cannot be downloaded automatically. Get it "
        f"at {entry.homepage}, then: python -m bench data prepare {files} --as {entry.name}"
    )


def _fetch_and_place(entry: DatasetEntry, data_dir: Path, keep: bool) -> None:
    from datasets_lib.download.fetch import download
    from datasets_lib.download.place import Piece, checksum_of, place
    from datasets_lib.download.unpack import ArchiveError

    downloads = data_dir / _DOWNLOADS / entry.name
    pieces = []
    for archive in entry.archives:
        with ProgressBar(archive.file) as progress:
            file = download(
                archive.urls,
                downloads / archive.file,
                checksum=checksum_of(archive),
                size=archive.bytes,
                progress=progress,
            )
        pieces.append(Piece(file, archive))
    try:
        with ProgressBar(f"unpacking {entry.name}") as progress:
            root = place(entry.name, pieces, data_dir, progress)
    except ArchiveError:
        # Without a checksum only unpacking shows the damage: a kept file would be used again.
        _remove(pieces, downloads)
        raise
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
        with suppress(OSError):  # not empty: another download is under way
            folder.rmdir()


def acknowledge(entry: DatasetEntry, home: Path, accepted: bool) -> None:
    """Show a dataset's license and have it accepted once, where its publisher requires that.

    Args:
        entry: The dataset.
        home: Data home; its ``licenses.json`` remembers what was accepted.
        accepted: Whether the command line accepts the license.

    Raises:
        CommandError: The license was not accepted, or there is no terminal to ask on.
    """
    print(f"{entry.title}: {entry.license}" + (f". Cite {entry.citation}" * bool(entry.citation)))
    file = home / "licenses.json"
    remembered = _remembered(file)
    if not entry.ask_first or remembered.get(entry.name) == entry.license:
        return
    if not accepted:
        _ask(entry)
    home.mkdir(parents=True, exist_ok=True)
    text = json.dumps(remembered | {entry.name: entry.license}, indent=1, sort_keys=True)
    file.write_text(text + "\n", encoding="utf-8")


def _ask(entry: DatasetEntry) -> None:
    if not sys.stdin.isatty():
        raise CommandError(
            f"The license of {entry.title} ({entry.license}; {entry.homepage}) must be accepted "
            "before a download, and there is no terminal to ask on. Read it, then add "
            "--accept-license."
        )
    answer = input(f"The license terms are at {entry.homepage}. Do you accept them? [y/N] ")
    if answer.strip().lower() not in {"y", "yes"}:
        raise CommandError(
            f"The license of {entry.title} was not accepted: nothing was downloaded."
        )


def _remembered(file: Path) -> dict[str, str]:
    """Return the accepted licenses; none where the file is missing or damaged."""
    try:
        remembered = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return remembered if isinstance(remembered, dict) else {}
