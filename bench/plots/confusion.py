"""Plot a confusion matrix, readable with ten classes and with two hundred."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.plots.style import INK, new_figure, save, tidy, truncated, write_title

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

_MAX_NAMED_CLASSES = 25
"""Maximum number of classes to write names and counts of; more would be too small to read."""

_MAX_PAIRS = 12


def plot_confusion(confusion: "np.ndarray", classes: Sequence[str], path: Path, title: str) -> Path:
    """Draw a confusion matrix by share of the true class, and list the most confused pairs.

    Args:
        confusion: (C, C) counts by true class (row) and predicted class (column).
        classes: Names of the C classes.
        path: PNG to write.
        title: Title above the plot.

    Raises:
        OSError: The file could not be written.
    """
    import numpy as np
    from matplotlib.colors import PowerNorm

    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    figure = new_figure(10.4, 7.0)
    axes, side = figure.subplots(1, 2, width_ratios=(7, 3))
    tidy(axes)
    axes.grid(False)
    # Colors follow the square root of the share, so that rare confusions can be seen.
    image = axes.imshow(100 * shares, cmap="Blues", norm=PowerNorm(0.5, 0, 100), origin="upper")
    if len(classes) <= _MAX_NAMED_CLASSES:
        _name_cells(axes, confusion, shares, classes)
    axes.set_xlabel("predicted class", fontsize=9)
    axes.set_ylabel("true class", fontsize=9)
    bar = figure.colorbar(image, ax=axes, shrink=0.7)
    bar.set_label("share of the true class (%)", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    side.set_axis_off()
    correct, total = int(np.trace(confusion)), int(confusion.sum())
    lines = [f"{correct:,} of {total:,} right", "", "Most confused (true → predicted)"]
    for true, predicted in most_confused(confusion, _MAX_PAIRS):
        pair = f"{truncated(classes[true])} → {truncated(classes[predicted])}"
        lines.append(f"{pair}: {confusion[true, predicted]} of {confusion[true].sum()}")
    side.text(0, 1, "\n".join(lines), va="top", fontsize=8, color=INK, linespacing=1.6)
    write_title(figure, title)
    return save(figure, path)


def most_confused(confusion: "np.ndarray", count: int) -> list[tuple[int, int]]:
    """Return the (true, predicted) pairs that are confused most often, most frequent first.

    Ties are sorted by class; pairs without an image are left out.

    >>> import numpy as np
    >>> most_confused(np.array([[5, 2], [3, 9]]), 1)
    [(1, 0)]
    """
    import numpy as np

    wrong = confusion - np.diag(np.diag(confusion))
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = [divmod(int(place), len(wrong)) for place in order]
    return [pair for pair in pairs if wrong[pair] > 0]


def _name_cells(
    axes: "Axes", confusion: "np.ndarray", shares: "np.ndarray", classes: Sequence[str]
) -> None:
    places = range(len(classes))
    names = [truncated(name) for name in classes]
    axes.set_xticks(places, names, rotation=0 if max(map(len, names)) < 4 else 90)
    axes.set_yticks(places, names)
    size = 8 if len(classes) <= 12 else 5.5
    for true in places:
        for predicted in places:
            if count := int(confusion[true, predicted]):
                color = "white" if shares[true, predicted] > 0.4 else INK
                axes.text(
                    predicted, true, str(count), ha="center", va="center", size=size, color=color
                )
