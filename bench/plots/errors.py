"""Plot errors and hits of a run: image, ground truth, anomaly map, overlay."""

from collections.abc import Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from bench.plots.error_panels import ErrorPanel, draw_color_bar, draw_panels, write_caption
from bench.plots.heat import shown_heat
from bench.plots.style import save

if TYPE_CHECKING:
    import numpy as np


def plot_errors(
    images: "np.ndarray",
    masks: "np.ndarray | None",
    maps: "np.ndarray",
    scores: "np.ndarray",
    labels: "np.ndarray",
    names: Sequence[str],
    threshold: float | None,
    path: Path,
    count: int = 8,
    rule: str = "calibrated on held-out normal images",
    about: str = "",
    scale: tuple[float, float] | None = None,
) -> Path:
    """Draw the worst errors of a run, then clear hits and normal images that passed.

    All maps share one color scale, set by the normal test images: it starts at their median pixel,
    and its middle is the 95th percentile of their peaks. So a color means the same in all pictures
    of a dataset: as high above normal as that. Colors follow the square root, so that the
    faint trace of a missed defect can be seen.

    Args:
        images: (N, H, W, 3) uint8.
        masks: (N, H, W), true or 1 where defective; None without masks.
        maps: (N, H, W) raw anomaly maps.
        scores: (N,) raw scores.
        labels: (N,) true or 1 where defective.
        names: Names of the N images.
        threshold: Scores above it count as defective; without a threshold nothing is an error.
        path: File to write; a ``.jpg`` stays below 300 KB.
        count: Maximum number of images to draw.
        rule: How the threshold was chosen, written in the plot.
        about: What kind of run it was, written in the plot.
        scale: Start and middle of the color scale, from `normal_scale`; None uses these images'.

    Raises:
        OSError: The file could not be written.
    """
    import numpy as np

    labels = np.asarray(labels, dtype=bool)
    chosen = choose_images(scores, labels, threshold, count)
    low, middle = scale or normal_scale(maps, labels)
    high = low + 2 * (middle - low)
    flagged = None if threshold is None else scores > threshold
    panel = ErrorPanel(len(chosen), images.shape[1] / images.shape[2])
    for row, index in enumerate(chosen):
        mask = None if masks is None else np.asarray(masks[index], dtype=bool)
        heat = shown_heat(maps[index], low, middle)
        axes = panel.row(row)
        draw_panels(axes, images[index], mask, heat, defective=bool(labels[index]))
        caption = f"score {scores[index]:.4g}   {names[index]}"
        verdict = None if flagged is None else bool(flagged[index])
        write_caption(axes[0], caption, defective=bool(labels[index]), flagged=verdict)
    draw_color_bar(panel.color_bar(), low, middle, high)
    rows = (
        "No threshold: worst-ranked images first."
        if threshold is None or flagged is None
        else f"Threshold {threshold:.4g}, {rule}.\n{_counts(flagged, labels)}"
    )
    panel.note("\n".join(filter(None, (rows, about))))
    return save(panel.figure, path)


def choose_images(
    scores: "np.ndarray", labels: "np.ndarray", threshold: float | None, count: int
) -> list[int]:
    """Return the indices of the images to draw: at most half are errors, if there are others.

    Misses and false alarms alternate, each sorted by distance from the threshold, largest first.
    Then the clearest hits alternate with the normal images that passed most narrowly. Without a
    threshold, defective images with the lowest scores alternate with normal images with the
    highest.
    """
    import numpy as np

    order = np.argsort(scores, kind="stable")
    defective = [int(i) for i in order if labels[i]]
    normal = [int(i) for i in order[::-1] if not labels[i]]
    if threshold is None:
        return _alternate(defective, normal)[:count]
    # Compared in the precision of the scores, as the metrics do.
    flagged = scores > threshold
    misses = [i for i in defective if not flagged[i]]
    alarms = [i for i in normal if flagged[i]]
    errors = _alternate(misses, alarms)
    hits = [i for i in defective[::-1] if flagged[i]]
    passed = [i for i in normal if not flagged[i]]
    correct = _alternate(hits, passed)
    room = max(count - len(correct), (count + 1) // 2)  # for errors
    return [*errors[:room], *correct][:count]


def _counts(flagged: "np.ndarray", labels: "np.ndarray") -> str:
    """Return how many decisions of each kind the rows above stand for."""
    defective, normal = int(labels.sum()), int((~labels).sum())
    misses, alarms = int((labels & ~flagged).sum()), int((~labels & flagged).sum())
    return (
        f"Of all test images: {misses} of {defective} defects missed, {alarms} of {normal} normal "
        "images flagged."
    )


def _alternate(first: Sequence[int], second: Sequence[int]) -> list[int]:
    pairs = zip_longest(first, second)
    return [item for item in chain.from_iterable(pairs) if item is not None]


def normal_scale(maps: "np.ndarray", labels: "np.ndarray") -> tuple[float, float]:
    """Return the median pixel of the normal maps and the 95th percentile of their peaks.

    Infinite pixels are left out: colors need finite ends.
    """
    import numpy as np

    normal = maps[~labels] if (~labels).any() else maps
    finite = np.isfinite(normal)
    if not finite.any():
        return 0.0, 1.0
    low = float(np.median(normal if finite.all() else normal[finite]))
    peaks = normal.max(axis=(1, 2), where=finite, initial=-np.inf)
    middle = float(np.quantile(peaks[np.isfinite(peaks)], 0.95))
    return low, max(middle, low + 1e-12)
