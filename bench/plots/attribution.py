"""Where a classifier's logit depends on the image: its best hits and its worst errors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.plots.style import GREEN, INK, VERMILION, new_figure, save

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

_ACROSS = 4
_SIDE = 1.25
_CAPTION = 0.42
_NAME_LENGTH = 14


@dataclass(frozen=True)
class Attributed:
    """One test image.

    Attributes:
        image: (H, W, 3) uint8.
        map: (H, W) dependence of the true class's logit on each pixel, not negative.
        true: Name of the true class.
        predicted: Name of the predicted class.
        confidence: Softmax of the predicted class.
    """

    image: "np.ndarray"
    map: "np.ndarray"
    true: str
    predicted: str
    confidence: float


def attribution_picture(shown: Sequence[Attributed], path: Path, title: str) -> Path:
    """Draw images beside their attribution maps, four pairs a row, in the order given.

    Each map has its own color scale, for gradients of two images differ by orders of magnitude,
    and colors follow the square root, for within one image they do too.

    Args:
        shown: At least one image.
        path: File to write; ``.jpg`` keeps it below 300 KB.
        title: Above the grid.

    Raises:
        OSError: The file could not be written.
    """
    lines = -(-len(shown) // _ACROSS)
    height = 0.55 + lines * (_SIDE + _CAPTION)
    figure = new_figure(_ACROSS * (2 * _SIDE + 0.2) + 0.1, height, arranged=False)
    width, total = figure.get_size_inches()
    for place, one in enumerate(shown):
        row, column = divmod(place, _ACROSS)
        left = 0.1 + column * (2 * _SIDE + 0.2)
        bottom = total - 0.5 - (row + 1) * (_SIDE + _CAPTION)
        panels = [
            figure.add_axes((x / width, bottom / total, _SIDE / width, _SIDE / total))
            for x in (left, left + _SIDE + 0.04)
        ]
        panels[0].imshow(one.image, interpolation="nearest")
        panels[1].imshow(one.map**0.5, cmap="inferno", interpolation="nearest")
        for panel in panels:
            panel.set_axis_off()
        _caption(panels[0], one)
    figure.text(0.1 / width, 1 - 0.1 / total, title, va="top", fontsize=9, color=INK)
    figure.text(
        0.1 / width,
        1 - 0.28 / total,
        "Right of each image: largest |gradient| of the true class's logit over colors, smoothed, "
        "its square root. Worst errors, then surest hits.",
        va="top",
        fontsize=7.5,
        color=INK,
    )
    return save(figure, path)


def _caption(panel: "Axes", one: Attributed) -> None:
    right = one.true == one.predicted
    sure = f"{100 * one.confidence:.0f} %"
    lines = [_short(one.true), f"{sure} sure" if right else f"taken for {_short(one.predicted)}"]
    if not right:
        lines[1] += f", {sure} sure"
    panel.annotate(
        "\n".join(lines),
        (0, 1),
        (0, 2),
        xycoords="axes fraction",
        textcoords="offset points",
        va="bottom",
        fontsize=7,
        color=GREEN if right else VERMILION,
        annotation_clip=False,
    )


def _short(name: str) -> str:
    return name if len(name) <= _NAME_LENGTH else name[: _NAME_LENGTH - 1] + "…"
