"""A finished run and the files that it wrote."""

from dataclasses import dataclass
from pathlib import Path

from bench.record import Record


class ComparisonError(Exception):
    """Two runs cannot be compared; the message says why and what to do."""


@dataclass(frozen=True)
class Run:
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
