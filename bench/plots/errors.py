"""The worst errors of a run as pictures: image, ground truth, anomaly map, overlay."""

from collections.abc import Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from bench.plots.error_panels import ErrorPanel, draw_color_bar, draw_panels, write_caption
from bench.plots.style import save

if TYPE_CHECKING:
    import numpy as np


def worst_errors(
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
) -> Path:
    """Draw the images a run got most wrong, then those it got right with the least to spare.

    All maps share one color scale, tied to the normal test images: it starts at their median
    pixel and its middle is the peak that 95 % of them stay below. Colors follow the square root,
    so that what a missed defect left of a trace can be seen.

    Args:
        images: (N, H, W, 3) uint8.
        masks: (N, H, W), true or 1 where defective; None if there are none.
        maps: (N, H, W) raw anomaly maps.
        scores: (N,) raw scores.
        labels: (N,) true or 1 where defective.
        names: N names.
        threshold: A score above it counts as defective; None calls nothing an error.
        path: File to write; ``.jpg`` keeps it below 300 KB.
        count: Most images drawn.
        rule: How the threshold was chosen; said in the picture.

    Raises:
        OSError: The file could not be written.
    """
    import numpy as np

    labels = np.asarray(labels, dtype=bool)
    chosen = hardest(scores, labels, threshold, count)
    low, middle = _normal_scale(maps, labels)
    high = low + 2 * (middle - low)
    flagged = None if threshold is None else scores > threshold
    panel_grid = ErrorPanel(len(chosen), images.shape[1] / images.shape[2])
    for row, index in enumerate(chosen):
        mask = None if masks is None else np.asarray(masks[index], dtype=bool)
        heat = np.sqrt(np.clip((maps[index] - low) / (high - low), 0, 1))
        axes = panel_grid.row(row)
        draw_panels(axes, images[index], mask, heat, defective=bool(labels[index]))
        caption = f"score {scores[index]:.4g}   {names[index]}"
        verdict = None if flagged is None else bool(flagged[index])
        write_caption(axes[0], caption, defective=bool(labels[index]), flagged=verdict)
    draw_color_bar(panel_grid.color_bar(), low, middle, high)
    panel_grid.note(
        "No threshold: least clear images first."
        if threshold is None
        else f"Threshold {threshold:.4g},\n{rule}.\nErrors first, then the nearest to it."
    )
    return save(panel_grid.figure, path)


def hardest(
    scores: "np.ndarray", labels: "np.ndarray", threshold: float | None, count: int
) -> list[int]:
    """Which images to show.

    The misses and the false alarms in turn, each kind by distance from the threshold, then the
    images on the right side of it by how near they are. Without a threshold: defective images of
    the lowest scores and normal ones of the highest, in turn.
    """
    import numpy as np

    order = np.argsort(scores, kind="stable")
    defective = [int(i) for i in order if labels[i]]
    normal = [int(i) for i in order[::-1] if not labels[i]]
    if threshold is None:
        return _in_turn(defective, normal)[:count]
    # Both in the scores' own precision, as the metrics compare them.
    flagged = scores > threshold
    misses = [i for i in defective if not flagged[i]]
    alarms = [i for i in normal if flagged[i]]
    errors = _in_turn(misses, alarms)
    right = sorted(set(range(len(scores))) - set(errors), key=lambda i: abs(scores[i] - threshold))
    return [*errors, *right][:count]


def _in_turn(one: Sequence[int], other: Sequence[int]) -> list[int]:
    pairs = zip_longest(one, other)
    return [item for item in chain.from_iterable(pairs) if item is not None]


def _normal_scale(maps: "np.ndarray", labels: "np.ndarray") -> tuple[float, float]:
    """The median pixel of the normal maps, and the peak 95 % of them stay below."""
    import numpy as np

    normal = maps[~labels] if (~labels).any() else maps
    low = float(np.median(normal))
    middle = float(np.quantile(normal.reshape(len(normal), -1).max(axis=1), 0.95))
    return low, max(middle, low + 1e-12)
