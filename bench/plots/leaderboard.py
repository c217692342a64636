"""The leaderboard as one picture: a dot and an interval a configuration, its seeds beside it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from math import ceil
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from bench.plots.style import BLUE, FAINT, GREEN, INK, ORANGE, new_figure, save, tidy
from bench.record import Record
from bench.aggregate.rows import (
    ComparableRuns,
    Row,
    by_data,
    by_study,
    category_rows,
    comparable_runs,
    mean_rows,
)
from bench.studies import table_spec_of
from bench.table_spec import CLASSIFICATION, TABLE_SPECS, TableSpec
from models.catalog import MODELS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_COLUMNS = 3
_TITLE_WIDTH = 44
_COLORS = {"resnet": BLUE, "convnext": ORANGE, "vit": GREEN}


@dataclass(frozen=True)
class _Panel:
    title: str
    rows: list[Row]


def leaderboard_picture(records: Iterable[Record], path: Path) -> Path:
    """Draw what ranks by configuration, a panel a category, after the mean over categories.

    Records of two profiles or machines never share a panel.

    Raises:
        ValueError: No record has a figure that ranks.
        OSError: The file could not be written.
    """
    found = comparable_runs(records)
    panels = [panel for runs in found for panel in _panels(runs, named=len(found) > 1)]
    panels = [panel for panel in panels if panel.rows]
    if not panels:
        raise ValueError(
            "No finished record has an image AUROC or a top-1 accuracy, so there is nothing to "
            "draw. Run some cases first: pytest bench -k rd_resnet18"
        )
    columns = min(_COLUMNS, len(panels))
    lines = ceil(len(panels) / columns)
    tallest = max(len(panel.rows) for panel in panels)
    width = 6.4 if columns == 1 else 4.6 * columns
    figure = new_figure(width, 0.8 + lines * (0.7 + 0.25 * tallest))
    grid = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes, panel in zip_longest(grid, panels):
        if panel is None:
            axes.set_axis_off()
        else:
            _draw(axes, panel)
    figure.legend(
        handles=_legend([panel.rows[0].table_spec for panel in panels]),
        loc="outside lower center",
        ncols=2 if columns == 1 else 4,
        frameon=False,
        fontsize=8,
    )
    return save(figure, path)


def _panels(runs: ComparableRuns, *, named: bool) -> Iterator[_Panel]:
    prefix = f"profile {runs.profile} on {runs.environment}\n" if named else ""
    studies = by_study(runs.records)
    for study, of_study in studies.items():
        yield from _study_panels(of_study, prefix + (f"{study}: " if len(studies) > 1 else ""))


def _study_panels(of_study: Sequence[Record], prefix: str) -> Iterator[_Panel]:
    shown = table_spec_of(of_study[0])
    for dataset, group in groupby(by_data(of_study).items(), key=lambda item: item[0][0]):
        cells = dict(group)
        if len(cells) > 1:
            everything = [record for cell in cells.values() for record in cell]
            rows, _, shared = mean_rows(everything, shown)
            yield _Panel(f"{prefix}{dataset}: mean of {len(shared)} categories", _drawable(rows))
        for place, records in cells.items():
            title = prefix + ".".join(filter(None, place))
            yield _Panel(title, _drawable(category_rows(records, shown)))


def _drawable(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.ranking]


def _draw(axes: "Axes", panel: _Panel) -> None:
    tidy(axes)
    lowest, highest = 100.0, 0.0
    for height, row in enumerate(panel.rows):
        values = [100 * value for value in row.ranking_values()]
        found = row.ranking
        assert found is not None
        color = _color(row)
        lowest = min(lowest, 100 * found.low, *values)
        highest = max(highest, 100 * found.high, *values)
        axes.plot([100 * found.low, 100 * found.high], [height] * 2, color=color, linewidth=2)
        axes.plot(
            100 * found.mean,
            height,
            "o",
            color=color,
            markerfacecolor=color if row.pretrained else "white",
            markersize=6.5,
            markeredgewidth=1.6,
        )
        if len(values) > 1:
            # Below the interval, so that neither hides the other.
            axes.plot(values, [height + 0.3] * len(values), "o", color=color, markersize=2.6)
    axes.set_yticks(range(len(panel.rows)), [row.label for row in panel.rows])
    axes.set_ylim(len(panel.rows) - 0.4, -0.6)
    shown = panel.rows[0].table_spec
    # What lies above 100 is no share, only the interval's arithmetic: it is cut off.
    top = min(100.0, highest) if shown is CLASSIFICATION else 100.0
    axes.set_xlim(lowest - 0.05 * (top - lowest) - 0.1, top + 0.03 * (top - lowest) + 0.1)
    axes.grid(False, axis="y")
    title = "\n".join(fill(line, _TITLE_WIDTH) for line in panel.title.split("\n"))
    axes.set_title(title, fontsize=9, loc="left", color=INK)
    axes.set_xlabel(f"{shown.ranking_name} (%)", fontsize=8)


def _color(row: Row) -> str:
    """By its side of the study's comparison; gray where there is none, or the catalog no model."""
    entry = MODELS.get(row.model.partition(".")[0])
    return _COLORS[entry.group] if entry and entry.group in row.table_spec.groups else FAINT


def _legend(shown: Sequence[TableSpec]) -> "list[Line2D]":
    from matplotlib.lines import Line2D

    dot: dict[str, Any] = {"marker": "o", "linestyle": "-", "linewidth": 2.0}
    groups = {
        group: label
        for known in TABLE_SPECS.values()
        if known in shown
        for group, label in known.groups.items()
    }
    return [
        *(Line2D([], [], **dot, color=_COLORS[group], label=groups[group]) for group in groups),
        Line2D([], [], **dot, color=INK, markerfacecolor="white", label="from random weights"),
        Line2D(
            [],
            [],
            marker="o",
            linestyle="none",
            markersize=3,
            color=INK,
            label="a seed (line: 95 % CI of their mean)",
        ),
    ]
