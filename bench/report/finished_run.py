"""A finished run and the files that it wrote."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from bench.record import Record


class ComparisonError(Exception):
    """Two runs cannot be compared; the message says why and what to do."""


class ArraysError(Exception):
    """A run's arrays cannot be read; the message is the cause."""


@dataclass(frozen=True)
class FinishedRun:
    """A finished run and the file of its record."""

    record: Record
    file: Path

    @property
    def folder(self) -> Path:
        """Return the results folder, to which the paths of its files are relative."""
        return self.file.parent.parent

    @property
    def own(self) -> bool:
        """Return whether a session wrote the file of its record and will append to it."""
        return self.file.parts[-2:] == ("runs", "records.jsonl")

    @property
    def name(self) -> str:
        """Return case id and profile."""
        return f"{self.record.key.id} (profile {self.record.key.profile})"

    def path_of(self, artifact: str) -> Path | None:
        """Return the path of one of the run's files; None where its record names none."""
        recorded = self.record.artifacts.get(artifact)
        return self.folder / recorded if recorded else None


def load_arrays(path: Path | None, *names: str) -> dict[str, Any] | None:
    """Return the named arrays of a run's file, or all of them; None where there is no such file.

    Raises:
        ArraysError: The file is damaged, or lacks an array.
    """
    if path is None or not path.is_file():
        return None
    try:
        with path.open("rb") as stream, np.load(stream) as file:
            return {name: file[name] for name in names or file.files}
    except (KeyError, ValueError, OSError, EOFError, BadZipFile) as error:
        raise ArraysError(str(error)) from error


def unpacked_masks(bits: Any, shape: Sequence[int]) -> Any:
    """Return the masks of maps ``(N, H, W)``, as booleans of this shape, from packed bits."""
    pixels = int(np.prod(shape[1:]))
    return np.unpackbits(bits, axis=1, count=pixels).reshape(shape).astype(bool)
