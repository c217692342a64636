"""Search for pretrained weights: in given folders, in caches, and finally by a given download.

Imports no torch, so that the parent process can resolve weights before it runs a case.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from models.catalog import WEIGHTS, WeightsEntry

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".pth", ".pt", ".safetensors", ".bin")
FOLDER_VARIABLE = "PROVING_GROUND_WEIGHTS"

Download = Callable[[str, Path, str | None], object]
"""Downloads a URL to a path completely, or raises `OSError` with the reason as a sentence.

The third argument is the first hex digits of the file's sha256; None if not published."""

_failures: dict[str, str] = {}


class WeightsMissingError(Exception):
    """Weights were not found; the message names them, the places searched, and the remedy."""


class IncompleteWeightsError(ValueError):
    """A file of the right weights lacks required tensors; the message names them."""


@dataclass(frozen=True)
class ResolvedWeights:
    """A weights file.

    Attributes:
        path: Path of the file, or of the first of several.
        sha256: Digest of its content in hex, or of the parts' digests.
        parts: The files of weights that consist of parts.
    """

    path: Path
    sha256: str
    parts: "tuple[ResolvedWeights, ...]" = ()


def resolve(
    tag: str, weights_dirs: Sequence[Path] = (), download: Download | None = None
) -> ResolvedWeights:
    """Find weights, or download them.

    Searches the given folders, the folder named by ``PROVING_GROUND_WEIGHTS``, and torch hub's
    cache, where a downloaded file is stored as well. Each URL is tried once per process: failures
    are remembered.

    Args:
        tag: Name in `models.catalog.WEIGHTS`.
        weights_dirs: Folders that may hold the file, in order of precedence.
        download: Downloads a file that is in none of the folders; None downloads nothing.

    Raises:
        WeightsMissingError: The weights are in none of these places and were not downloaded.
        ValueError: The tag is unknown, or the file cannot be read, or it has its publisher's name
            with digits of a sha256 that is not its own.
    """
    if tag not in WEIGHTS:
        raise ValueError(f"Unknown weights '{tag}': the catalog has {', '.join(WEIGHTS)}.")
    entry = WEIGHTS[tag]
    if entry.parts:
        parts = tuple(resolve(part, weights_dirs, download) for part in entry.parts)
        both = hashlib.sha256(" ".join(part.sha256 for part in parts).encode())
        return ResolvedWeights(parts[0].path, both.hexdigest(), parts)
    folders = _folders(weights_dirs)
    for candidate in _candidates(entry, folders):
        if os.path.isfile(candidate):  # noqa: PTH113 - False, not an error, in an unreadable folder
            return _checked(entry, candidate)
    if download is None:
        raise WeightsMissingError(_missing(entry, folders, "Downloading was switched off."))
    path = hub_folder() / entry.file_name
    if entry.url not in _failures:
        try:
            download(entry.url, path, entry.sha256_prefix)
        except OSError as failure:
            _failures[entry.url] = str(failure)
        else:
            return _checked(entry, path)
    raise WeightsMissingError(_missing(entry, folders, _failures[entry.url]))


def hub_folder() -> Path:
    """Return the folder in which torch hub stores downloaded weights."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    home = Path(os.environ.get("TORCH_HOME") or cache / "torch")
    return home.expanduser() / "hub" / "checkpoints"


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, cached in this process until the file changes.

    Raises:
        ValueError: The file cannot be read.
    """
    try:
        stat = path.stat()
        return _sha256(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise ValueError(
            f"Wanted to read the weights {path}, found {error.strerror}. Make the file readable "
            "for this user, or take it out of the weights folder."
        ) from error


@lru_cache(maxsize=256)
def _sha256(path: Path, inode: int, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checked(entry: WeightsEntry, path: Path) -> ResolvedWeights:
    """Return a file whose sha256 begins with the digits in its name, if these are its publisher's.

    Under another name or in another format it may hold the same tensors, but not the same bytes.
    """
    sha256 = file_sha256(path)
    prefix = entry.sha256_prefix
    if prefix and path.name == entry.file_name and not sha256.startswith(prefix):
        raise ValueError(
            f"The file {path} is not {entry.tag}'s: wanted the sha256 in its publisher's name, "
            f"{prefix}…, found {sha256[:8]}…. Get it again from {entry.url}, or rename it to "
            f"{entry.tag}{path.suffix} if it is meant to differ."
        )
    return ResolvedWeights(path, sha256)


def _folders(weights_dirs: Sequence[Path]) -> list[Path]:
    named = os.environ.get(FOLDER_VARIABLE)
    return [*weights_dirs, *([Path(named)] if named else [])]


def _candidates(entry: WeightsEntry, folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        for stem in entry.file_stems:
            for suffix in dict.fromkeys((*SUFFIXES, *entry.suffixes)):
                yield folder / f"{stem}{suffix}"
    yield hub_folder() / entry.file_name


def _missing(entry: WeightsEntry, folders: Sequence[Path], reason: str) -> str:
    looked = [f"{folder}{'' if folder.is_dir() else ' (no such folder)'}" for folder in folders]
    names = " or ".join(entry.file_stems)
    endings = " ".join((*SUFFIXES, *entry.suffixes))
    return (
        f"The weights {entry.tag} are missing. Wanted {names} with one of the endings "
        f"{endings} in {', '.join(looked) or 'a folder given by --weights-dir'}, or "
        f"{entry.file_name} in {hub_folder()}; found none of them. {reason} Fetch {entry.url} "
        "on a machine with a network and put it into one of these folders, or name its folder with "
        f"--weights-dir or {FOLDER_VARIABLE}."
        + (f" Or make them: {entry.made_by}." if entry.made_by else "")
    )


def load_state(resolved: ResolvedWeights) -> "dict[str, Tensor]":
    """Load a file's tensors by the publisher's names, see `weights_file.read_tensors`.

    Names in the nth part of several start with ``n.``, counted from 0.

    Raises:
        ValueError: The file is damaged, is something else, contains code, or contains no tensors.
    """
    from models.components.weights_file import read_tensors

    if resolved.parts:
        states = [load_state(part) for part in resolved.parts]
        return {f"{n}.{name}": each for n, part in enumerate(states) for name, each in part.items()}
    return read_tensors(resolved.path)
