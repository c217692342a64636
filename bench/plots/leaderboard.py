"""The leaderboard as a picture: a dot and an interval per configuration, with its seeds."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from math import ceil
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from bench.aggregate.language import say
from bench.aggregate.ranking import RankedRow
from bench.aggregate.rows import Row
from bench.plots.style import BLUE, FAINT, GREEN, INK, ORANGE, new_figure, save, tidy
from bench.record import Record
from bench.report.board import StudyRuns, make_board
from bench.report.row_names import distinct_names
from models.catalog import MODELS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

_COLUMNS = 2
_PANEL_WIDTH = 4.9
"""Inches."""

_TITLE_WIDTH, _MIN_TITLE_WIDTH = 46, 12
"""Characters."""

_COLORS = {"resnet": BLUE, "convnext": ORANGE, "vit": GREEN}
_MARKERS = {"resnet": "o", "convnext": "s", "vit": "^"}
_LABELS = {"resnet": "ResNet", "convnext": "ConvNeXt", "vit": "ViT"}


@dataclass(frozen=True)
class _Panel:
    title: str
    ranked_rows: list[RankedRow]

    @property
    def rows(self) -> list[Row]:
        """Return the rows in order."""
        return [each.row for each in self.ranked_rows]

    def labels(self) -> list[str]:
        """Return names and ranks of the rows, in order."""
        names = distinct_names(self.rows)
        return [f"{name}  {each.rank}" for name, each in zip(names, self.ranked_rows, strict=True)]


def leaderboard_picture(records: Iterable[Record], path: Path) -> Path:
    """Draw the ranking metric of each configuration, with a panel per study and dataset.

    A panel is the mean over the dataset's categories, or one of them where the mean has no row with
    all of them. Records of two profiles or machines never share a panel; panels with ranked rows
    come first. Smoke runs, which measure nothing, are drawn where there are no others.

    Raises:
        ValueError: No record has a value of the metric that ranks.
        OSError: The file could not be written.
    """
    board = make_board(records)
    serious = [own for own in board.studies if own.runs.profile != "smoke"]
    several = len(board.sections) > 1
    panels = [p for own in serious or board.studies for p in _panels(own, named=several)]
    panels.sort(key=lambda panel: -sum(each.ranked for each in panel.ranked_rows))
    if not panels:
        raise ValueError(
            "No finished record has a value of the metric that ranks, so there is nothing to "
            "draw. Run some cases first: pytest bench -k rd_resnet18"
        )
    columns = min(_COLUMNS, len(panels))
    lines = ceil(len(panels) / columns)
    # Each line of panels is as high as its longest one needs.
    heights = [
        max(len(panel.rows) for panel in panels[columns * line :][:columns])
        for line in range(lines)
    ]
    width = 6.4 if columns == 1 else _PANEL_WIDTH * columns
    figure = new_figure(width, 0.9 + sum(1.0 + 0.27 * height for height in heights))
    ratios = [1.0 + 0.27 * height for height in heights]
    grid = list(figure.subplots(lines, columns, squeeze=False, height_ratios=ratios).flat)
    titles = []
    for axes, panel in zip_longest(grid, panels):
        if panel is None:
            axes.set_axis_off()
        else:
            titles.append(_draw(axes, panel))
    figure.legend(
        handles=_legend([row for panel in panels for row in panel.rows]),
        loc="outside lower center",
        ncols=2 if columns == 1 else 3,
        frameon=False,
        fontsize=8,
    )
    _fit_titles(figure, titles, panels, columns)
    return save(figure, path)


def _panels(own: StudyRuns, *, named: bool) -> Iterator[_Panel]:
    """Yield a dataset's mean, or its categories where no row of the mean has a value."""
    drawn = set()
    for ranked in own.tables:
        dataset = ranked.table.dataset, ranked.table.mode
        shown = [each for each in ranked.rows if each.row.ranking]
        if shown and dataset not in drawn:
            if ranked.is_mean:
                drawn.add(dataset)
            where = f"\n{own.runs.profile}, {own.machine}" if named else ""
            yield _Panel(f"{own.study.name}: {ranked.table.title}{where}", shown)


def _draw(axes: "Axes", panel: _Panel) -> "Text":
    """Draw a panel and return its title."""
    tidy(axes)
    metric = panel.rows[0].study.ranking_metric
    ends = []
    for height, row in enumerate(panel.rows):
        values = [metric.scale * value for value in row.ranking_values()]
        mean = row.ranking
        assert mean is not None
        color = _color(row)
        interval = [metric.scale * mean.low, metric.scale * mean.high]
        ends += [*interval, *values]
        axes.plot(interval, [height] * 2, color=color, linewidth=2)
        axes.plot(
            metric.scale * mean.mean,
            height,
            _MARKERS.get(_group(row), "o"),
            color=color,
            markerfacecolor=color if row.case.pretrained else "white",
            markersize=6.5,
            markeredgewidth=1.6,
        )
        if len(values) > 1:
            # Below the interval, so that neither hides the other.
            axes.plot(values, [height + 0.3] * len(values), "o", color=color, markersize=2.6)
    labels = axes.set_yticks(range(len(panel.rows)), panel.labels())
    for tick, ranked_row in zip(labels, panel.ranked_rows, strict=True):
        tick.label1.set_color(INK if ranked_row.ranked else FAINT)
    axes.set_ylim(len(panel.rows) - 0.4, -0.6)
    low, high = min(ends), max(ends)
    margin = 0.1 if high > low else 0.01 * abs(high) or 0.5
    axes.set_xlim(low - 0.05 * (high - low) - margin, high + 0.03 * (high - low) + margin)
    axes.grid(False, axis="y")
    unit = f" ({metric.unit})" if metric.unit else ""
    axes.set_xlabel(f"{metric.heading}{unit}", fontsize=9)
    title = _wrapped(panel.title, _TITLE_WIDTH)
    return axes.set_title(title, fontsize=9, loc="left", color=INK)


def _fit_titles(
    figure: "Figure", titles: "Sequence[Text]", panels: Sequence[_Panel], columns: int
) -> None:
    """Wrap titles that would be cut or meet the next one: long names of rows make panels narrow.

    Args:
        figure: The finished figure.
        titles: Titles of its panels, in order.
        panels: These panels.
        columns: Number of panels next to each other.
    """
    figure.draw_without_rendering()  # the layout decides where panels begin
    begins = [title.get_window_extent().x0 for title in titles]
    for position, (title, panel) in enumerate(zip(titles, panels, strict=True)):
        is_last = (position + 1) % columns == 0 or position + 1 == len(titles)
        end = figure.bbox.x1 if is_last else begins[position + 1]
        for width in range(_TITLE_WIDTH, _MIN_TITLE_WIDTH, -1):
            if title.get_window_extent().x1 < end:
                break
            title.set_text(_wrapped(panel.title, width))


def _wrapped(title: str, width: int) -> str:
    return "\n".join(fill(line, width) for line in title.split("\n"))


def _group(row: Row) -> str:
    """Return the row's side of the study's comparison; empty in a study that compares no groups."""
    entries = [MODELS.get(name) for name in row.study.model_names]
    own = MODELS.get(row.case.model)
    compares = all(entry is not None and entry.group in _LABELS for entry in entries)
    return own.group if own and compares else ""


def _color(row: Row) -> str:
    return _COLORS.get(_group(row), FAINT)


def _legend(rows: Sequence[Row]) -> "list[Line2D]":
    from matplotlib.lines import Line2D

    dot: dict[str, Any] = {"linestyle": "-", "linewidth": 2.0}
    groups = {_group(row) for row in rows}
    return [
        *(
            Line2D([], [], **dot, marker=_MARKERS[group], color=_COLORS[group], label=label)
            for group, label in _LABELS.items()
            if group in groups
        ),
        Line2D(
            [],
            [],
            **dot,
            marker="o",
            color=INK,
            markerfacecolor="white",
            label=say("from random weights"),
        ),
        Line2D(
            [],
            [],
            marker="o",
            linestyle="none",
            markersize=3,
            color=INK,
            label=say("a seed (line: 95 % interval; gray name: no rank)"),
        ),
    ]
