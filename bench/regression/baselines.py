"""Named baselines: append-only files of runs that later runs are compared with.

A baseline is ``results/baselines/nightly/NAME.jsonl``, committed with the project. A line is a run,
or an acceptance, which restarts the history of a configuration.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.lines import append_object, read_objects
from bench.record import Record
from bench.regression.series import Series, series_of, values_of

MAIN = "main"
"""Name of the baseline that is used unless another is given."""


STANDING = frozenset({"first", "ok", "env-shift", "underpowered", "changed", "improved"})
"""Outcomes of runs that later runs are compared with."""

_MIN_IMPROVED = 3
"""Minimum number of runs after which an improvement replaces earlier runs; with fewer, one outlier
could be the level."""


def option_of(baseline: str) -> str:
    """Return the option that names a baseline in a printed command; empty for the main one.

    >>> option_of("main"), option_of("gpu")
    ('', ' --baseline gpu')
    """
    return "" if baseline == MAIN else f" --baseline {baseline}"


@dataclass(frozen=True)
class Run:
    """One finished run of a series.

    Attributes:
        series: Its conditions.
        replicate: Index of its seed.
        values: Watched values by quantity.
        commit: Commit of its code; None if unknown.
        dirty: Whether the code differed from the commit.
        code: Hash of the code that the case depends on.
        recipe: Hash of the resolved recipe.
        protocol: The recipe's constants, to name what changed.
        finished: End time in UTC, ISO 8601.
        images: Number of test images.
        drift: Sum of the drift net by quantity, after this run; with those of the dataset means
            that it is a part of.
        disturbed: Whether others used the machine, which makes its speeds less reliable.
        throttled: Whether the machine slowed itself down because it was hot.
        outcome: Outcome of the comparison; ``first`` if there was nothing to compare with.
        night: Name of the night that ran it; empty for a session.
        scores: Path of its per-image test scores below the results folder; empty if not stored.
    """

    series: Series
    replicate: int
    values: Mapping[str, float]
    commit: str | None = None
    dirty: bool | None = None
    code: str = ""
    recipe: str = ""
    protocol: Mapping[str, Any] = field(default_factory=dict)
    finished: str = ""
    images: int = 0
    drift: Mapping[str, float] = field(default_factory=dict)
    disturbed: bool = False
    throttled: bool = False
    outcome: str = "first"
    night: str = ""
    scores: str = ""

    @property
    def case(self) -> str:
        """Return the id of its case."""
        return f"{self.series.configuration}-s{self.replicate}"


@dataclass(frozen=True)
class Acceptance:
    """A point at which a configuration's history restarts, with the reason.

    Attributes:
        configuration: Case id without its replicate.
        reason: Why its values are accepted as they are.
        commit: Commit at which it was accepted.
        accepted: Time in UTC, ISO 8601.
    """

    configuration: str
    reason: str
    commit: str | None = None
    accepted: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


class Baselines:
    """The runs and acceptances of one named baseline.

    Args:
        results: Folder of results.
        name: Name of the baseline.

    Attributes:
        name: Its name.
        path: Its file.
    """

    def __init__(self, results: Path, name: str = MAIN) -> None:
        self.name = name
        self.path = results / "baselines" / "nightly" / f"{name}.jsonl"
        self._entries: list[Run | Acceptance] = []
        self._segments: dict[str, list[Run]] = {}
        for line in read_objects(self.path):
            entry = _parsed(line)
            if entry is not None:
                self._take(entry)

    @property
    def runs(self) -> list[Run]:
        """Return every run, oldest first."""
        return [entry for entry in self._entries if isinstance(entry, Run)]

    @property
    def acceptances(self) -> list[Acceptance]:
        """Return every acceptance, oldest first."""
        return [entry for entry in self._entries if isinstance(entry, Acceptance)]

    def segment(self, configuration: str) -> list[Run]:
        """Return a configuration's runs since its last acceptance, under any conditions."""
        return list(self._segments.get(configuration, ()))

    def window(self, series: Series, night: str | None = None) -> list[Run]:
        """Return the runs to compare a new one with: those of its segment and conditions.

        They begin at the newest improvement that enough runs have followed, because earlier runs
        would hide the loss of that gain.

        Args:
            series: The conditions.
            night: Name of a night whose runs are left out.
        """
        runs = [
            run
            for run in self.segment(series.configuration)
            if run.series == series and run.outcome in STANDING and run.night != night
        ]
        return runs[_index_of_improvement(runs) :]

    def why_none(self, series: Series) -> str:
        """Return a clause that says why a series has no window."""
        runs = self.segment(series.configuration)
        if not runs:
            accepted = [a for a in self.acceptances if a.configuration == series.configuration]
            if accepted:
                return f"accepted on {accepted[-1].accepted[:10]} ({accepted[-1].reason})"
            return "no baseline yet"
        closest = min(
            (run.series for run in reversed(runs)), key=lambda s: len(s.differences(series))
        )
        parts = [
            f"{name} {getattr(closest, name)}, now {getattr(series, name)}"
            for name in closest.differences(series)
        ]
        if not parts:
            return (
                "every run in its history raised an alarm: if the numbers are correct, start a "
                "new history with python -m bench accept"
            )
        return f"its baseline was recorded under other conditions: {'; '.join(parts)}"

    def add(self, runs: Iterable[Run]) -> None:
        """Append runs, except those already present with the same case, night and time."""
        present = {_identity(run) for run in self.runs}
        for run in runs:
            if _identity(run) not in present:
                present.add(_identity(run))
                append_object(self.path, {"run": _plain(run)})
                self._take(run)

    def accept(self, acceptance: Acceptance) -> None:
        """Append an acceptance."""
        append_object(self.path, {"accept": asdict(acceptance)})
        self._take(acceptance)

    def _take(self, entry: Run | Acceptance) -> None:
        self._entries.append(entry)
        if isinstance(entry, Acceptance):
            self._segments[entry.configuration] = []
        else:
            self._segments.setdefault(entry.series.configuration, []).append(entry)


def run_of(record: Record, night: str = "", outcome: str = "first") -> Run:
    """Return the run of a finished record."""
    return Run(
        series=series_of(record),
        replicate=record.case.replicate,
        values=values_of(record),
        commit=record.code.get("commit"),
        dirty=record.code.get("dirty"),
        code=record.code.get("hash", ""),
        recipe=record.key.recipe,
        protocol=record.protocol.get("recipe", {}),
        finished=record.finished,
        images=int(record.fingerprints.get("images", {}).get("test", 0)),
        disturbed=record.shared,
        throttled=record.throttled,
        outcome=outcome,
        night=night,
        scores=record.artifacts.get("scores", "") or record.artifacts.get("predictions", ""),
    )


def changed_constants(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the constants that differ between two recipes.

    >>> changed_constants({"lr": 0.4, "epochs": 5}, {"lr": 4.0, "epochs": 5, "source": "a paper"})
    ['lr 0.4 → 4.0']
    """
    plain = [json.loads(json.dumps(recipe)) for recipe in (before, now)]  # tuples become lists
    return [
        f"{name} {plain[0].get(name)} → {plain[1].get(name)}"
        for name in sorted(plain[0].keys() | plain[1].keys())
        if name != "source" and plain[0].get(name) != plain[1].get(name)
    ]


def _index_of_improvement(runs: Sequence[Run]) -> int:
    """Return the index of the first run of the newest improvement with enough runs; else 0."""
    for index in range(len(runs) - _MIN_IMPROVED, 0, -1):
        if runs[index].outcome == "improved" and runs[index].night != runs[index - 1].night:
            return index
    return 0


def _identity(run: Run) -> tuple[str, str, str]:
    return run.case, run.night, run.finished


def _plain(run: Run) -> dict[str, Any]:
    plain = asdict(run)
    plain["values"] = {name: float(f"{value:.10g}") for name, value in run.values.items()}
    return plain


def _parsed(line: dict[str, Any]) -> Run | Acceptance | None:
    """Return the entry of a line; None if a later version wrote it."""
    try:
        if "run" in line:
            fields = dict(line["run"])
            return Run(**{**fields, "series": Series(**fields["series"])})
        return Acceptance(**line["accept"]) if "accept" in line else None
    except (KeyError, TypeError):
        return None
