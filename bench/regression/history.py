"""The history of a case: its values by commit, as a table or for other tools."""

import csv
import io
from collections.abc import Sequence

import numpy as np
from tabulate import tabulate

from bench.regression.baselines import Acceptance, Run
from bench.regression.ledger import Alarm
from bench.regression.series import Quantity
from bench.study import RANKING

_BARS = "▁▂▃▄▅▆▇█"
_SHOWN = 4


def history_table(
    runs: Sequence[Run],
    acceptances: Sequence[Acceptance] = (),
    alarms: Sequence[Alarm] = (),
    quantities: Sequence[str] | None = None,
) -> str:
    """Return the runs of a configuration as a table, oldest first, machine by machine.

    Args:
        runs: Its runs.
        acceptances: Where its baseline restarted.
        alarms: Its alarms.
        quantities: Quantities to show; None for the ranking ones, a pixel metric and a speed.
    """
    parts = []
    for (profile, machine), own in by_machine(runs).items():
        names = list(quantities or usual_quantities(own))
        lines = [(run.finished, _row(run, names)) for run in own]
        lines += [
            (one.accepted, [one.accepted[:10], _short(one.commit), "", f"accepted: {one.reason}"])
            for one in acceptances
        ]
        rows = [row for _, row in sorted(lines, key=lambda line: line[0])]
        headers = ["date", "commit", "seed", "outcome", *names]
        parts.append(f"profile {profile} on {machine}")
        parts.append(tabulate(rows, headers=headers, disable_numparse=True))
        parts += [f"{name}  {sparkline(_values(own, name))}" for name in names if len(own) > 1]
    for alarm in alarms:
        verdict = f"{alarm.verdict}: {alarm.why}" if alarm.verdict else "open"
        loss = Quantity(alarm.quantity).loss_text(alarm.loss)
        span = f"{_short(alarm.base)} → {_short(alarm.head)}"
        parts.append(f"alarm {alarm.raised[:10]}  {alarm.quantity} loss {loss}, {span} ({verdict})")
    return "\n".join(parts)


def by_machine(runs: Sequence[Run]) -> dict[tuple[str, str], list[Run]]:
    """Group runs by profile and machine, each of which has its own history."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.series.profile, run.series.machine), []).append(run)
    return groups


def usual_quantities(runs: Sequence[Run]) -> list[str]:
    """Return the quantities shown by default: the ranking ones, a pixel metric and a speed."""
    names = list(dict.fromkeys(name for run in runs for name in run.values))
    ranking = [name for name in names if name.rpartition(".")[2] in RANKING.values()]
    pixels = [name for name in names if name.endswith(".pixel_auroc")]
    speeds = [name for name in names if Quantity(name).kind == "speed"]
    return list(dict.fromkeys([*ranking, *pixels[:1], *speeds[:1]]))[:_SHOWN] or names[:_SHOWN]


def history_csv(runs: Sequence[Run], quantities: Sequence[str] | None = None) -> str:
    """Return a CSV line for each value of each run."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    names = ("configuration", "profile", "machine", "budget", "data", "weights")
    writer.writerow(
        [*names, "replicate", "finished", "commit", "dirty", "code", "outcome", "quantity", "value"]
    )
    for run in runs:
        conditions = [getattr(run.series, name) for name in names]
        facts = [run.replicate, run.finished, run.commit, run.dirty, run.code, run.outcome]
        for quantity, value in run.values.items():
            if not quantities or quantity in quantities:
                writer.writerow([*conditions, *facts, quantity, value])
    return file.getvalue()


def history_otava(runs: Sequence[Run], quantities: Sequence[str] | None = None) -> str:
    """Return a line for each run with time and commit, in the format of Apache Otava's import."""
    every = dict.fromkeys(name for run in runs for name in run.values)
    names = [name for name in every if not quantities or name in quantities]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["time", "commit", *names])
    for run in sorted(runs, key=lambda run: run.finished):
        values = [run.values.get(name, "") for name in names]
        writer.writerow([run.finished, run.commit or "", *values])
    return file.getvalue()


def sparkline(values: Sequence[float]) -> str:
    """Return values as bars of eight heights.

    >>> sparkline([0.5, 1.0, 0.75])
    '▁█▅'
    """
    if not values:
        return ""
    low, high = min(values), max(values)
    if low == high:
        return _BARS[3] * len(values)
    places = np.round((np.array(values) - low) / (high - low) * (len(_BARS) - 1)).astype(int)
    return "".join(_BARS[place] for place in places)


def _row(run: Run, names: Sequence[str]) -> list[str]:
    commit = _short(run.commit) + ("+" if run.dirty else "")
    values = [Quantity(name).text(run.values[name]) if name in run.values else "" for name in names]
    return [run.finished[:10], commit, f"s{run.replicate}", run.outcome, *values]


def _values(runs: Sequence[Run], name: str) -> list[float]:
    return [run.values[name] for run in runs if name in run.values]


def _short(commit: str | None) -> str:
    return commit[:10] if commit else "unknown"
