"""The alarm ledger: each alarm with its later verdict, and the precision of the judged alarms."""

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.lines import append_object, read_objects
from bench.provenance.commit import short_commit
from bench.regression.baselines import MAIN

VERDICTS = ("accepted", "fixed", "false")

_COUNTED = {"fixed": "found fixed by a later nightly run"}
"""Words for verdicts that are given automatically."""


@dataclass(frozen=True)
class Alarm:
    """A confirmed regression.

    Attributes:
        configuration: Case id without its replicate.
        quantity: Quantity that got worse.
        loss: How much worse it got, as `Quantity.loss` returns it.
        interval: 95 % interval of the loss; empty if the values are exact.
        p: p value; None if the values are exact.
        base: Commit that was better.
        head: Commit that is worse.
        raised: Time in UTC, ISO 8601.
        night: Name of the night; empty for a gate.
        method: How it was confirmed.
        code: Hash of the code that is worse.
        profile: Profile of the runs; empty for an alarm of an earlier version.
        machine: Machine of the runs, as in `Series`; empty for an alarm of an earlier version.
        baseline: Name of the baseline that it is a loss against.
        verdict: ``accepted``, ``fixed`` or ``false``; empty while it is open.
        why: The reason for the verdict, or the commit that fixed it.
    """

    configuration: str
    quantity: str
    loss: float
    interval: tuple[float, ...] = ()
    p: float | None = None
    base: str | None = None
    head: str | None = None
    raised: str = ""
    night: str = ""
    method: str = ""
    code: str = ""
    profile: str = ""
    machine: str = ""
    baseline: str = MAIN
    verdict: str = ""
    why: str = ""

    @property
    def id(self) -> str:
        """Return its id, which is equal for the same loss found twice."""
        where = f" {self.profile} on {self.machine}" if self.machine else ""
        where += f" against {self.baseline}" if self.baseline != MAIN else ""
        since = short_commit(self.head) if self.head else self.raised[:12]
        return f"{self.configuration} {self.quantity} {since}{where}"

    def concerns(self, profile: str, machine: str) -> bool:
        """Return whether runs with a profile on a machine are evidence about this loss."""
        return not self.machine or (self.profile, self.machine) == (profile, machine)


class Ledger:
    """The alarms of a results folder, in ``alarms.jsonl``.

    Attributes:
        path: The file.
        ignored: Number of its lines that another version of the program wrote.
    """

    def __init__(self, results: Path) -> None:
        self.path = results / "alarms.jsonl"
        self.ignored = 0
        self._alarms: dict[str, Alarm] = {}
        for line in read_objects(self.path):
            try:
                self._take(line)
            except (KeyError, TypeError, ValueError):
                self.ignored += 1

    def ignored_text(self) -> str:
        """Return a sentence about the ignored lines, without its period."""
        lines = "1 line was" if self.ignored == 1 else f"{self.ignored} lines were"
        return f"{self.path}: {lines} written by another version of the program and ignored"

    @property
    def alarms(self) -> list[Alarm]:
        """Return every alarm with its verdict, oldest first."""
        return list(self._alarms.values())

    def open(self, configuration: str | None = None, baseline: str | None = None) -> list[Alarm]:
        """Return the alarms without a verdict, of one configuration and baseline or of all."""
        return [
            alarm
            for alarm in self.alarms
            if not alarm.verdict
            and configuration in (None, alarm.configuration)
            and baseline in (None, alarm.baseline)
        ]

    def raise_alarm(self, alarm: Alarm) -> bool:
        """Add an alarm unless it is already open; return whether it was added."""
        known = [
            one
            for one in self.open(alarm.configuration, alarm.baseline)
            if one.quantity == alarm.quantity and one.concerns(alarm.profile, alarm.machine)
        ]
        if known or alarm.id in self._alarms:
            return False
        fields = asdict(replace(alarm, raised=alarm.raised or _now()))
        append_object(self.path, {"alarm": fields})
        self._take({"alarm": fields})
        return True

    def add_verdict(self, alarm: Alarm, verdict: str, why: str) -> None:
        """Add the verdict of an alarm.

        Raises:
            ValueError: The verdict is not one of `VERDICTS`.
        """
        if verdict not in VERDICTS:
            raise ValueError(f"wanted a verdict of {', '.join(VERDICTS)}, found {verdict!r}")
        line = {"verdict": verdict, "of": alarm.id, "why": why, "judged": _now()}
        append_object(self.path, line)
        self._take(line)

    def precision(self) -> str:
        """Return in words how many of the judged alarms were right."""
        judged = [alarm for alarm in self.alarms if alarm.verdict]
        if not self.alarms:
            return "no alarm yet"
        right = sum(alarm.verdict != "false" for alarm in judged)
        share = f", {100 * right / len(judged):.0f} %" if judged else ""
        counts = ", ".join(
            f"{count} {_COUNTED.get(verdict, verdict)}"
            for verdict in VERDICTS
            if (count := sum(alarm.verdict == verdict for alarm in judged))
        )
        text = f"{right} of {len(judged)} judged alarms were right{share}"
        return f"{text} ({counts})" if counts else f"{len(self.alarms)} alarms, none judged yet"

    def _take(self, line: dict[str, Any]) -> None:
        if "alarm" in line:
            fields = dict(line["alarm"])
            alarm = Alarm(**{**fields, "interval": tuple(fields.get("interval", ()))})
            self._alarms[alarm.id] = alarm
        elif line.get("of") in self._alarms:
            known = self._alarms[line["of"]]
            self._alarms[known.id] = replace(known, verdict=line["verdict"], why=line["why"])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
