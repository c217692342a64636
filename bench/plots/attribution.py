"""Plot where a classifier's logit depends on the image."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.plots.style import GREEN, INK, PHOTOS_DPI, VERMILION, new_figure, save, truncated

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

_PAIRS_PER_ROW = 4

# Inches.
_SIDE, _CAPTION, _MARGIN, _GAP = 1.25, 0.48, 0.1, 0.04
_PAIR = 2 * _SIDE + 0.2


@dataclass(frozen=True)
class AttributedImage:
    """A test image with its attribution.

    Attributes:
        image: (H, W, 3) uint8.
        map: (H, W) sensitivity of the true class's logit to each pixel, not negative.
        true: Name of the true class.
        predicted: Name of the predicted class.
        confidence: Softmax of the predicted class.
    """

    image: "np.ndarray"
    map: "np.ndarray"
    true: str
    predicted: str
    confidence: float


def plot_attributions(images: Sequence[AttributedImage], path: Path, title: str) -> Path:
    """Draw images next to their attribution maps, four pairs per row.

    Each map has its own color scale, because gradients differ by orders of magnitude between
    images; colors follow the square root, because they do so within an image too.

    Args:
        images: At least one image, in the order to draw them.
        path: File to write; a ``.jpg`` stays below 300 KB.
        title: Title above the grid.

    Raises:
        OSError: The file could not be written.
    """
    rows = -(-len(images) // _PAIRS_PER_ROW)
    height = 0.55 + rows * (_SIDE + _CAPTION)
    figure = new_figure(_PAIRS_PER_ROW * _PAIR + _MARGIN, height, arranged=False, dpi=PHOTOS_DPI)
    width, total = figure.get_size_inches()
    for place, item in enumerate(images):
        row, column = divmod(place, _PAIRS_PER_ROW)
        left = _MARGIN + column * _PAIR
        bottom = total - 0.5 - (row + 1) * (_SIDE + _CAPTION)
        panels = [
            figure.add_axes((x / width, bottom / total, _SIDE / width, _SIDE / total))
            for x in (left, left + _SIDE + _GAP)
        ]
        panels[0].imshow(item.image, interpolation="nearest")
        panels[1].imshow(item.map**0.5, cmap="inferno", interpolation="nearest")
        for panel in panels:
            panel.set_axis_off()
        _caption(panels[0], item)
    figure.text(_MARGIN / width, 1 - _MARGIN / total, title, va="top", fontsize=9, color=INK)
    figure.text(
        _MARGIN / width,
        1 - 0.28 / total,
        "Right of each image: |gradient| of the true class's logit (maximum over colors, "
        "smoothed, square root). Worst errors, then most confident correct predictions.",
        va="top",
        fontsize=9,
        color=INK,
    )
    return save(figure, path)


def _caption(panel: "Axes", item: AttributedImage) -> None:
    correct = item.true == item.predicted
    confidence = f"{100 * item.confidence:.0f} % sure"
    if not correct:
        confidence = f"predicted {truncated(item.predicted)}, {confidence}"
    panel.annotate(
        f"{truncated(item.true)}\n{confidence}",
        (0, 1),
        (0, 2),
        xycoords="axes fraction",
        textcoords="offset points",
        va="bottom",
        fontsize=8.5,
        color=GREEN if correct else VERMILION,
        annotation_clip=False,
    )
