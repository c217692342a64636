"""What the commands share: how one refuses, and the options that say where things lie."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from datasets_lib.paths import data_dirs, default_cache_dir


class CommandError(Exception):
    """A command cannot do what was asked; the message says why and what to do."""


def add_data_dir(command: argparse.ArgumentParser) -> None:
    """Declare ``--data-dir``, as a pytest session has it."""
    command.add_argument(
        "--data-dir",
        action="append",
        type=Path,
        metavar="DIR",
        help="folder of datasets, DIR/mvtec/bottle/train/good; may repeat "
        "(default: $PROVING_GROUND_DATA); what data get fetched is always found",
    )


def add_cache_dir(command: argparse.ArgumentParser) -> None:
    """Declare ``--cache-dir``."""
    command.add_argument("--cache-dir", type=Path, metavar="DIR", help="default: the session's own")


def add_weights_dir(command: argparse.ArgumentParser) -> None:
    """Declare ``--weights-dir``."""
    command.add_argument(
        "--weights-dir",
        action="append",
        type=Path,
        default=[],
        metavar="DIR",
        help="folder of pretrained weights, DIR/resnet18.pth; may repeat",
    )


def cache_dir_of(options: argparse.Namespace) -> Path:
    """The cache's folder, absolute."""
    return (options.cache_dir or default_cache_dir()).expanduser().absolute()


def data_dirs_of(options: argparse.Namespace) -> tuple[Path, ...]:
    """The folders of datasets, absolute, in the order they are searched."""
    return data_dirs(options.data_dir, cache_dir_of(options))


def folders(given: Sequence[Path]) -> tuple[Path, ...]:
    """Folders as a user names them, absolute."""
    return tuple(folder.expanduser().absolute() for folder in given)
