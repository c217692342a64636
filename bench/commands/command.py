"""What the commands share: their error, and the options that name folders."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from datasets_lib.paths import data_dirs, default_cache_dir


class CommandError(Exception):
    """A command cannot do what was asked for; the message says why and what to do."""


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
        help="folder of pretrained weights, such as DIR/resnet18.pth; may be repeated",
    )


def cache_dir_of(options: argparse.Namespace) -> Path:
    """Return the absolute path of the cache folder."""
    return (options.cache_dir or default_cache_dir()).expanduser().absolute()


def data_dirs_of(options: argparse.Namespace) -> tuple[Path, ...]:
    """Return the absolute paths of the dataset folders, in search order."""
    return data_dirs(options.data_dir, cache_dir_of(options))


def folders(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Return absolute paths of folders that a user named."""
    return tuple(folder.expanduser().absolute() for folder in paths)
