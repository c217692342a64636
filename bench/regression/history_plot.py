"""Draw the history of a case: its values over time, acceptances, alarms and weekly levels."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from bench.metrics.catalog import METRICS
from bench.plots.style import (
    BLUE,
    CYAN,
    FAINT,
    GREEN,
    ORANGE,
    VERMILION,
    new_figure,
    save,
    tidy,
    write_title,
)
from bench.regression.baselines import Acceptance, Run
from bench.regression.history import by_series, title_of
from bench.regression.ledger import Alarm
from bench.regression.series import Quantity
from bench.regression.weekly_steps import Level, weekly_levels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORS = (BLUE, GREEN, CYAN)
_ROW, _REST = 2.2, 1.2  # inches


def plot_history(
    runs: Sequence[Run],
    quantities: Sequence[str],
    path: Path,
    *,
    acceptances: Sequence[Acceptance] = (),
    alarms: Sequence[Alarm] = (),
    steps: bool = True,
) -> Path:
    """Draw a configuration's quantities over time, one below the other.

    Each series has its own history, in its own color.

    Args:
        runs: Its runs.
        quantities: Quantities to draw.
        path: PNG to write.
        acceptances: Where its baseline restarted.
        alarms: Its alarms.
        steps: Whether levels are fitted to the weekly medians; needs ``ruptures``.

    Raises:
        OSError: The file could not be written.
    """
    figure = new_figure(8.0, _REST + _ROW * len(quantities))
    rows = figure.subplots(len(quantities), 1, sharex=True, squeeze=False)[:, 0]
    for axes, name in zip(rows, quantities, strict=True):
        tidy(axes)
        groups = by_series(runs)
        for index, (series, own) in enumerate(groups.items()):
            known = sorted(
                (_time(run.finished), run.values[name])
                for run in own
                if run.finished and name in run.values
            )
            short = replace(series, machine=series.machine.split(" | ")[0])
            label = title_of(short, groups)
            _draw_runs(axes, known, name, _COLORS[index % len(_COLORS)], label)
            if steps:
                _draw_levels(axes, weekly_levels(*zip(*known, strict=True)) if known else [], name)
        _draw_events(axes, acceptances, [alarm for alarm in alarms if alarm.quantity == name])
        axes.set_ylabel(f"{name}{_unit(name)}", fontsize=8)
    rows[-1].xaxis_date()
    rows[-1].tick_params("x", labelrotation=20)
    rows[0].legend(frameon=False, fontsize=7, loc="best")
    write_title(figure, runs[0].series.configuration)
    return save(figure, path)


def _draw_runs(
    axes: "Axes",
    known: Sequence[tuple[datetime, float]],
    name: str,
    color: str,
    label: str,
) -> None:
    days = [_day(time) for time, _ in known]
    values = [_scale(name) * value for _, value in known]
    axes.plot(days, values, "o", color=color, markersize=3, zorder=3, label=label)


def _draw_levels(axes: "Axes", levels: Sequence[Level], name: str) -> None:
    """Draw the weekly levels, and each step between two as a line labeled with its size."""
    for index, level in enumerate(levels):
        ends = [_day(level.first), _day(level.end)]
        height = _scale(name) * level.value
        label = "level of the weekly medians" if not index else None
        axes.plot(ends, [height, height], color=ORANGE, linewidth=2, label=label)
    for before, after in pairwise(levels):
        heights = [_scale(name) * level.value for level in (before, after)]
        day = _day(after.first)
        axes.plot([day, day], heights, color=ORANGE, linewidth=1, linestyle="--")
        axes.annotate(
            f"{heights[1] - heights[0]:+.3g}",
            (day, heights[1]),
            xytext=(3, 3),
            textcoords="offset points",
            fontsize=7,
            color=ORANGE,
        )


def _draw_events(axes: "Axes", acceptances: Sequence[Acceptance], alarms: Sequence[Alarm]) -> None:
    events = [(one.accepted, FAINT, "accepted") for one in acceptances]
    events += [(alarm.raised, VERMILION, "alarm") for alarm in alarms]
    labeled = set()
    for moment, color, what in events:
        label = None if what in labeled else what
        labeled.add(what)
        day = _day(_time(moment))
        axes.axvline(day, color=color, linestyle=":", linewidth=1.2, label=label)


def _time(moment: str) -> datetime:
    """Parse an ISO 8601 time, which is in UTC unless it has a time zone."""
    time = datetime.fromisoformat(moment)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _day(time: datetime) -> float:
    """Return days since 1970, matplotlib's unit of time."""
    return time.timestamp() / 86400


def _scale(name: str) -> float:
    """Return the factor from a stored value to the drawn one."""
    kind = Quantity(name).kind
    if kind == "memory":
        return 1 / 2**20
    metric = METRICS.get(name.rpartition(".")[2])
    return metric.scale if kind == "quality" and metric else 1.0


def _unit(name: str) -> str:
    """Return the unit of the drawn values, in parentheses."""
    unit = Quantity(name).text(1.0).partition(" ")[2]
    return f" ({unit})" if unit else ""
