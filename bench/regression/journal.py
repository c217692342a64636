"""The journal of a night: its plan and what it found, so that a killed night can resume."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.case import Case
from bench.lines import append_object, read_objects
from bench.regression.finding import Finding
from bench.regression.plan import Plan, Planned


@dataclass
class Night:
    """The progress of one night.

    Attributes:
        name: Its date, with a number if it is not the first one of that date.
        path: Its journal.
        started: Start time in UTC, ISO 8601.
        commit: Commit of the code.
        dirty: Whether the code differed from the commit.
        asked: The request; a different request is a different night.
        plan: What runs.
        keys: Hash of the store key of each planned case that could run when the night began, by
            case id: recipe, data and weights of a night that resumes.
        findings: Findings whose comparison and confirmation have finished.
        evaluated: Configurations whose comparison and confirmation have finished.
        notes: Lines for the report.
        resumed: Number of times that it resumed after it was killed.
        ended: End time; empty until it ends.
    """

    name: str
    path: Path
    started: str
    commit: str | None
    dirty: bool | None
    asked: str
    plan: Plan
    keys: Mapping[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    evaluated: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    resumed: int = 0
    ended: str = ""

    def add_findings(self, configuration: str, findings: Sequence[Finding]) -> None:
        """Add all findings of a configuration as one line, written completely or not at all.

        Raises:
            OSError: The line could not be written.
        """
        plain = [_plain(finding) for finding in findings]
        append_object(self.path, {"judged": configuration, "findings": plain})
        self._take(configuration, findings)

    def forget_findings(self) -> None:
        """Drop the findings, so that the same configurations are evaluated again."""
        self.findings.clear()
        self.evaluated.clear()

    def _take(self, configuration: str, findings: Iterable[Finding]) -> None:
        self.evaluated.add(configuration)
        self.findings += findings

    def end(self, moment: str) -> None:
        """Close the night."""
        append_object(self.path, {"end": moment})
        self.ended = moment


class Journals:
    """The nights of a results folder.

    Args:
        folder: Folder of the journals.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(
        self,
        started: str,
        commit: str | None,
        dirty: bool | None,
        asked: str,
        plan: Plan,
        known: Collection[str] = (),
        keys: Mapping[str, str] = MappingProxyType({}),
    ) -> Night:
        """Begin a night.

        Args:
            started: Start time in UTC, ISO 8601.
            commit: Commit of the code.
            dirty: Whether the code differs from the commit.
            asked: The request.
            plan: What runs.
            known: Names of other nights, whose journals may lie elsewhere.
            keys: Hash of the store key of each planned case, by case id.
        """
        date = started[:10]
        taken = {path.stem for path in self.folder.glob(f"{date}*.jsonl")} | set(known)
        names = (date if number == 1 else f"{date}-{number}" for number in range(1, 1000))
        name = next(name for name in names if name not in taken)
        path = self.folder / f"{name}.jsonl"
        night = Night(name, path, started, commit, dirty, asked, plan, keys)
        begun = {"started": started, "commit": commit, "dirty": dirty, "asked": asked}
        append_object(path, {"begin": begun | {"plan": asdict(plan), "keys": dict(keys)}})
        return night

    def unfinished(self) -> Night | None:
        """Return the newest night if it has not ended."""
        paths = sorted(self.folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
        night = read_night(paths[-1]) if paths else None
        if night is None or night.ended:
            return None
        return night

    def resume(self, night: Night) -> None:
        """Record that a night resumes."""
        append_object(night.path, {"resumed": True})
        night.resumed += 1


def read_night(path: Path) -> Night | None:
    """Read the night of a journal; None if it never began, or another version wrote it."""
    try:
        return _read(path)
    except (KeyError, TypeError, ValueError):
        return None


def _read(path: Path) -> Night | None:
    night: Night | None = None
    for line in read_objects(path):
        if "begin" in line:
            begun = dict(line["begin"])
            plan = _plan(begun.pop("plan"))
            night = Night(path.stem, path, plan=plan, **begun)
        elif night is None:
            continue
        elif "judged" in line:
            night._take(line["judged"], map(_finding, line["findings"]))
        elif "resumed" in line:
            night.resumed += 1
        elif "end" in line:
            night.ended = line["end"]
    return night


def _plan(plain: dict[str, Any]) -> Plan:
    for name in ("planned", "over_budget"):
        plain[name] = [
            Planned(**{**one, "case": Case(**one["case"])}) for one in plain.get(name, [])
        ]
    return Plan(**plain)


def _plain(finding: Finding) -> dict[str, Any]:
    fields = asdict(finding)
    return {
        name: None if isinstance(value, float) and math.isnan(value) else
        "inf" if value == math.inf else value
        for name, value in fields.items()
    }  # fmt: skip


def _finding(plain: dict[str, Any]) -> Finding:
    numbers = ("base", "tonight", "loss", "p", "low", "high", "mde")
    read = {
        name: math.nan if value is None else float(value)
        for name, value in plain.items()
        if name in numbers
    }
    return Finding(**{**plain, **read})
