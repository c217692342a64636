"""Plot the learning curve of a run, and the scores of its test images."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bench.plots.loss_curve import draw_loss
from bench.plots.style import BLUE, GREEN, ORANGE, VERMILION, new_figure, save, tidy, write_title
from bench.record import Record

if TYPE_CHECKING:
    import numpy as np

_THRESHOLDS = {
    "calibrated_p95": ("calibrated on held-out normal images", GREEN, "-"),
    "best_f1": ("best F1, test-chosen: never ranks", VERMILION, "--"),
}
"""The thresholds that are drawn: the record has the others, some of which are of pixels."""


def plot_learning_curve(record: Record, path: Path) -> Path:
    """Draw the training loss of a record over images seen, with its running median.

    Raises:
        ValueError: The record has no curve.
        OSError: The file could not be written.
    """
    if not record.curve:
        raise ValueError(
            f"The record of {record.key.id} holds no training loss to draw. Models trained in "
            "one pass have none: plot it only where record.curve is not empty."
        )
    figure = new_figure(6.4, 3.4)
    axes = figure.add_subplot()
    tidy(axes)
    draw_loss(axes, record)
    axes.set_xlabel("images seen", fontsize=9)
    name = record.protocol.get("recipe", {}).get("loss")
    axes.set_ylabel(f"training loss ({name})" if name else "training loss", fontsize=9)
    write_title(figure, record.key.id)
    axes.legend(frameon=False, fontsize=8)
    return save(figure, path)


def plot_scores(
    scores: "np.ndarray",
    labels: "np.ndarray",
    thresholds: Mapping[str, float | None],
    path: Path,
    title: str,
) -> Path:
    """Draw histograms of normal and defective test scores, with two thresholds.

    Args:
        scores: (N,) raw scores; infinite ones are left out, and the legend says how many.
        labels: (N,) true or 1 where defective.
        thresholds: Thresholds by rule; ``calibrated_p95`` and ``best_f1`` are drawn if not None.
        path: PNG to write.
        title: Title above the plot.

    Raises:
        OSError: The file could not be written.
    """
    import numpy as np

    labels = np.asarray(labels, dtype=bool)
    # Float32 may be too coarse for as many bins as there should be.
    scores = np.asarray(scores, dtype=np.float64)
    finite = np.isfinite(scores)
    figure = new_figure(6.4, 3.8)
    axes = figure.add_subplot()
    tidy(axes)
    shown = scores[finite] if finite.any() else np.zeros(1)
    edges = np.histogram_bin_edges(shown, bins=min(40, max(10, len(scores) // 8)))
    # Shares instead of counts: the two kinds rarely have equal numbers of images.
    for chosen, name, color, hatch in (
        (~labels, "normal", BLUE, ""),
        (labels, "defective", ORANGE, "///"),
    ):
        if count := int(chosen.sum()):
            drawn = scores[chosen & finite]
            infinite = f", {count - len(drawn)} infinite" if len(drawn) < count else ""
            axes.hist(
                drawn,
                bins=edges.tolist(),
                weights=np.full(len(drawn), 100 / count),
                histtype="stepfilled",
                facecolor=f"{color}55",
                edgecolor=color,
                linewidth=1.2,
                hatch=hatch,
                label=f"{name} ({count} images{infinite})",
            )
    for rule, (label, color, style) in _THRESHOLDS.items():
        if (threshold := thresholds.get(rule)) is not None:
            axes.axvline(threshold, color=color, linestyle=style, label=f"{threshold:.4g}, {label}")
    axes.set_xlabel("anomaly score of a test image", fontsize=9)
    axes.set_ylabel("share of its kind (%)", fontsize=9)
    write_title(figure, title)
    figure.legend(loc="outside lower left", frameon=False, fontsize=8, ncols=2)
    return save(figure, path)
