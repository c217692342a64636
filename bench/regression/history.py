"""The history of a case: its values by commit, as a table or for other tools."""

import csv
import io
from collections.abc import Iterable, Sequence

from tabulate import tabulate

from bench.provenance.commit import short_commit
from bench.regression.baselines import Acceptance, Run
from bench.regression.ledger import Alarm
from bench.regression.series import Quantity, Series
from bench.sparkline import sparkline
from bench.study import RANKING

_SHOWN = 4


def history_table(
    runs: Sequence[Run],
    acceptances: Sequence[Acceptance] = (),
    alarms: Sequence[Alarm] = (),
    quantities: Sequence[str] | None = None,
) -> str:
    """Return the runs of a configuration as a table for each series, oldest first.

    Args:
        runs: Its runs.
        acceptances: Where its baseline restarted.
        alarms: Its alarms.
        quantities: Quantities to show; None for the ranking ones, a pixel metric and a speed.
    """
    parts = []
    groups = by_series(runs)
    for series, own in groups.items():
        names = list(quantities or usual_quantities(own))
        lines = [(run.finished, _row(run, names)) for run in own]
        lines += [
            (
                one.accepted,
                [one.accepted[:10], short_commit(one.commit), "", f"accepted: {one.reason}"],
            )
            for one in acceptances
        ]
        rows = [row for _, row in sorted(lines, key=lambda line: line[0])]
        headers = ["date", "commit", "seed", "outcome", *names]
        parts.append(title_of(series, groups))
        parts.append(tabulate(rows, headers=headers, disable_numparse=True))
        parts += [f"{name}  {sparkline(_values(own, name))}" for name in names if len(own) > 1]
    for alarm in alarms:
        verdict = f"{alarm.verdict}: {alarm.why}" if alarm.verdict else "open"
        loss = Quantity(alarm.quantity).loss_text(alarm.loss)
        span = f"{short_commit(alarm.base)} → {short_commit(alarm.head)}"
        parts.append(f"alarm {alarm.raised[:10]}  {alarm.quantity} loss {loss}, {span} ({verdict})")
    return "\n".join(parts)


def by_series(runs: Sequence[Run]) -> dict[Series, list[Run]]:
    """Group runs by series: only runs under equal conditions are comparable."""
    groups: dict[Series, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.series, []).append(run)
    return groups


def title_of(series: Series, others: Iterable[Series]) -> str:
    """Return profile and machine of a series, and the other conditions in which others differ."""
    named = {"budget": series.budget, "data": series.data[:8], "weights": series.weights[:8]}
    differing = {name for other in others for name in series.differences(other)}
    more = [f", {name} {value}" for name, value in named.items() if name in differing]
    return f"profile {series.profile} on {series.machine}{''.join(more)}"


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
    """Return a line for each run with time and commit, in the format of Apache Otava's import.

    Args:
        runs: Runs of one series: Otava sees a change of machine or data as a change of the code.
        quantities: Quantities to write; None for all.
    """
    every = dict.fromkeys(name for run in runs for name in run.values)
    names = [name for name in every if not quantities or name in quantities]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["time", "commit", *names])
    for run in sorted(runs, key=lambda run: run.finished):
        values = [run.values.get(name, "") for name in names]
        writer.writerow([run.finished, run.commit or "", *values])
    return file.getvalue()


def _row(run: Run, names: Sequence[str]) -> list[str]:
    commit = short_commit(run.commit) + ("+" if run.dirty else "")
    values = [Quantity(name).text(run.values[name]) if name in run.values else "" for name in names]
    return [run.finished[:10], commit, f"s{run.replicate}", run.outcome, *values]


def _values(runs: Sequence[Run], name: str) -> list[float]:
    return [run.values[name] for run in runs if name in run.values]
