"""Parts of the error plot: four panels per image, captions, the shared color bar."""

from textwrap import fill
from typing import TYPE_CHECKING, Any

from bench.plots.heat import HEAT, opacity_of
from bench.plots.style import CYAN, GREEN, INK, PHOTOS_DPI, VERMILION, new_figure

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

_COLUMNS = ("image", "ground truth", "anomaly map", "overlay")

# Inches.
_WIDTH, _MARGIN, _GAP = 6.4, 0.12, 0.06
_HEAD, _CAPTION, _FOOT = 0.3, 0.28, 1.15

_NOTE_LETTERS = 42  # a line of the note, left of the color bar


class ErrorPanel:
    """A figure with a row of four panels per image, column titles above and notes below.

    Axes are placed by hand: matplotlib's constrained layout takes seconds for 32 panels.

    Args:
        rows: Number of images.
        aspect: Height of an image divided by its width.
    """

    def __init__(self, rows: int, aspect: float) -> None:
        self._panel = (_WIDTH - 2 * _MARGIN - 3 * _GAP) / 4
        self._tall = self._panel * aspect
        self._height = _HEAD + (_CAPTION + self._tall) * rows + _FOOT
        self.figure = new_figure(_WIDTH, self._height, arranged=False, dpi=PHOTOS_DPI)
        for column, title in enumerate(_COLUMNS):
            self._text(self._left(column) + self._panel / 2, self._height - 0.2, title, ha="center")

    def row(self, position: int) -> "list[Axes]":
        """Return the four panels of a row, counted from the top."""
        bottom = self._height - _HEAD - (_CAPTION + self._tall) * (position + 1)
        return [
            self._axes(self._left(column), bottom, self._panel, self._tall) for column in range(4)
        ]

    def color_bar(self) -> "Axes":
        """Return a strip at the bottom, below the maps."""
        return self._axes(self._left(2), _FOOT - 0.22, 2 * self._panel + _GAP, 0.1)

    def note(self, text: str) -> None:
        """Write text at the bottom left, wrapped beside the color bar."""
        lines = (fill(line, _NOTE_LETTERS) for line in text.splitlines())
        self._text(_MARGIN, _FOOT - 0.1, "\n".join(lines), va="top")

    def _left(self, column: int) -> float:
        return _MARGIN + column * (self._panel + _GAP)

    def _axes(self, left: float, bottom: float, width: float, height: float) -> "Axes":
        """Add axes at a position in inches from the lower left corner."""
        x, y = _WIDTH, self._height
        return self.figure.add_axes((left / x, bottom / y, width / x, height / y))

    def _text(self, left: float, bottom: float, text: str, **options: Any) -> None:
        self.figure.text(
            left / _WIDTH, bottom / self._height, text, fontsize=9.5, color=INK, **options
        )


def draw_panels(
    axes: "list[Axes]",
    image: "np.ndarray",
    mask: "np.ndarray | None",
    heat: "np.ndarray",
    *,
    defective: bool,
) -> None:
    """Fill a row: the image, its ground truth, its anomaly map and the overlay.

    Args:
        axes: The four panels.
        image: (H, W, 3) uint8.
        mask: (H, W) bool, or None.
        heat: (H, W) in [0, 1].
        defective: Whether the image is defective, written where there is no mask.
    """
    from matplotlib import colormaps

    colors = colormaps[HEAT](heat)
    colors[..., 3] = opacity_of(heat)
    for panel in axes:
        panel.set_axis_off()
        panel.set(xticks=[], yticks=[])  # else they are made, though never drawn
    for panel in (axes[0], axes[1], axes[3]):
        panel.imshow(image)
    axes[2].imshow(heat, cmap=HEAT, vmin=0, vmax=1)
    axes[3].imshow(colors)
    if mask is not None and mask.any():
        _outline(axes[1], mask, {2.6: "black", 1.3: CYAN})
        _outline(axes[2], mask, {0.7: CYAN})
    else:
        missing = "defective, no mask" if mask is None else "defective, mask empty here"
        text = missing if defective else "no defect"
        frame = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2}
        axes[1].text(
            0.5,
            0.06,
            text,
            transform=axes[1].transAxes,
            ha="center",
            fontsize=9,
            color=INK,
            bbox=frame,
        )


def _outline(panel: "Axes", mask: "np.ndarray", lines: dict[float, str]) -> None:
    """Draw the border of a mask with lines of several widths, given in points with their colors."""
    import numpy as np

    # A frame of zeros closes the outline of a defect that touches the image border.
    padded = np.pad(mask.astype(np.float32), 1)
    rows, columns = (np.arange(side) - 1.0 for side in padded.shape)
    for width, color in lines.items():
        panel.contour(columns, rows, padded, levels=[0.5], colors=[color], linewidths=width)
    panel.set_xlim(-0.5, mask.shape[1] - 0.5)
    panel.set_ylim(mask.shape[0] - 0.5, -0.5)


def write_caption(panel: "Axes", text: str, *, defective: bool, flagged: bool | None) -> None:
    """Write the outcome of an image and a text above the first panel of its row.

    Args:
        panel: First panel of the row.
        text: Score and name of the image.
        defective: Whether the image is defective.
        flagged: Whether it was classified as defective; None without a threshold.
    """
    verdict, color = verdict_of(defective=defective, flagged=flagged)
    place: dict[str, Any] = {
        "xycoords": "axes fraction",
        "textcoords": "offset points",
        "va": "bottom",
    }
    mark = panel.annotate(
        verdict, (0, 1), (0, 3), fontsize=9.5, color=color, weight="bold", **place
    )
    panel.annotate(
        f"   {text}",
        (1, 0),
        (0, 0),
        fontsize=9.5,
        color=INK,
        annotation_clip=False,
        **{**place, "xycoords": mark},
    )


def verdict_of(*, defective: bool, flagged: bool | None) -> tuple[str, str]:
    """Return an image's outcome in words, and their color; see `write_caption`."""
    if flagged is None:
        return ("defective" if defective else "normal"), INK
    if flagged == defective:
        return ("hit" if defective else "passed"), GREEN
    return ("MISSED DEFECT" if defective else "FALSE ALARM"), VERMILION


def draw_color_bar(axes: "Axes", low: float, middle: float, high: float) -> None:
    """Draw the color scale of the maps, labeled by what normal images look like."""
    import numpy as np

    axes.imshow(
        np.sqrt(np.linspace(0, 1, 256))[None], cmap=HEAT, aspect="auto", extent=(low, high, 0, 1)
    )
    axes.set_yticks([])
    axes.set_xticks([low, middle, high])
    labels = axes.set_xticklabels(
        [
            f"{low:.3g}\nmedian\nnormal\npixel",
            f"{middle:.3g}\n95 % of normal\nimages peak\nbelow",
            f"{high:.3g}\nand more",
        ]
    )
    axes.tick_params(labelsize=8.5, colors=INK, length=2)
    labels[0].set_horizontalalignment("left")
    labels[-1].set_horizontalalignment("right")
