"""What the commands share: their parser and error, and options that name folders."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from datasets_lib.paths import absolute_path, data_dirs, default_cache_dir


class CommandError(Exception):
    """A command cannot do what was asked for; the message says why and what to do."""


class CommandParser(argparse.ArgumentParser):
    """A parser that answers a mistake with one line instead of its whole usage."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, and exit."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def add_data_dir(command: argparse.ArgumentParser) -> None:
    """Add ``--data-dir``, as a pytest session has it."""
    command.add_argument(
        "--data-dir",
        action="append",
        type=Path,
        metavar="DIR",
        help="folder of datasets, such as DIR/mvtec/bottle/train/good; may be repeated "
        "(default: $PROVING_GROUND_DATA); datasets downloaded by data get are always found",
    )


def add_cache_dir(command: argparse.ArgumentParser) -> None:
    """Add ``--cache-dir``."""
    command.add_argument(
        "--cache-dir", type=Path, metavar="DIR", help="cache folder (default: the session's)"
    )


def add_weights_dir(command: argparse.ArgumentParser) -> None:
    """Add ``--weights-dir``."""
    command.add_argument(
        "--weights-dir",
        action="append",
        type=Path,
        default=[],
        metavar="DIR",
        help="folder of pretrained weights, such as DIR/resnet18.pth; may be repeated; "
        "$PROVING_GROUND_WEIGHTS is searched, too",
    )


def cache_dir_of(options: argparse.Namespace) -> Path:
    """Return the absolute path of the cache folder.

    Raises:
        CommandError: It is a file.
    """
    folder = absolute_path(options.cache_dir or default_cache_dir())
    if os.path.isfile(folder):  # noqa: PTH113 - False, not an error, in an unreadable folder
        raise CommandError(f"--cache-dir {folder}: wanted a folder, found a file. Name another.")
    return folder


def weights_dirs_of(options: argparse.Namespace) -> tuple[Path, ...]:
    """Return the absolute paths of the weights folders.

    Raises:
        CommandError: One of them does not exist.
    """
    dirs = folders(options.weights_dir)
    for folder in dirs:
        if not os.path.isdir(folder):  # noqa: PTH112
            raise CommandError(
                f"--weights-dir {folder}: wanted a folder of pretrained weights, such as "
                "resnet18.pth; found no such folder. Correct the path."
            )
    return dirs


def data_dirs_of(options: argparse.Namespace) -> tuple[Path, ...]:
    """Return the absolute paths of the dataset folders, in search order."""
    return data_dirs(options.data_dir, cache_dir_of(options))


def folders(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return absolute paths of folders that a user named."""
    return tuple(map(absolute_path, paths))
