"""Colors, figure defaults and file formats of all plots."""

import io
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from bench.plots.glyphs import make_drawable
from datasets_lib.atomic import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image

# The palette of Okabe and Ito, distinguishable with any color vision.
BLUE = "#0072B2"
ORANGE = "#E69F00"
VERMILION = "#D55E00"
GREEN = "#009E73"
CYAN = "#56B4E9"
INK = "#222222"
FAINT = "#8A8A8A"

LINES_DPI = 200
"""Dots per inch of line plots: 8 point letters are 11 pixels high at half the size."""

PHOTOS_DPI = 120
"""Dots per inch of figures of photographs, whose letters are larger in turn."""

_LETTERS_PER_INCH = 13
_MAX_JPEG_BYTES = 300_000
_QUALITIES = (85, 70, 55)
_MAX_NAME = 14

# Of a line plot and its smoothed letters; a picture has more.
_LINE_COLORS = 2048


def new_figure(
    width: float, height: float, *, arranged: bool = True, dpi: int = LINES_DPI
) -> "Figure":
    """Return an empty figure, independent of pyplot's global state.

    Args:
        width: Width in inches.
        height: Height in inches.
        arranged: Whether matplotlib places the axes; otherwise the caller does.
        dpi: Dots per inch.
    """
    from matplotlib.figure import Figure

    layout: Any = "constrained" if arranged else "none"
    return Figure(figsize=(width, height), dpi=dpi, facecolor="white", layout=layout)


def tidy(axes: "Axes") -> None:
    """Reduce axes to two thin spines and a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors=INK, labelsize=8, color=FAINT)
    axes.grid(True, color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)


def write_title(figure: "Figure", title: str) -> None:
    """Write a title above all axes of a figure, in lines that its width holds."""
    lines = fill(title, round(_LETTERS_PER_INCH * figure.get_figwidth()))
    figure.suptitle(lines, fontsize=9, color=INK, x=0.01, ha="left")


def truncated(name: str) -> str:
    """Return a class name cut to 14 characters.

    >>> truncated("cellar_spider_web")
    'cellar_spider…'
    """
    return name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…"


def save(figure: "Figure", path: Path) -> Path:
    """Write a figure as PNG or JPEG, by its suffix; the same figure gives the same bytes.

    Line plots belong in ``.png``. Photographs belong in ``.jpg``: a third of the size, at a lower
    quality where needed to stay below 300 KB.

    Raises:
        OSError: The file could not be written; an existing file is left intact.
    """
    make_drawable(figure)
    with atomic_path(path) as temporary:
        image = _drawn(figure)
        if path.suffix == ".jpg":
            temporary.write_bytes(_jpeg(image))
        else:
            _with_palette(image).save(temporary, "PNG", optimize=True)
    return path


def _drawn(figure: "Figure") -> "Image":
    """Return the RGB image of a figure."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas: Any = FigureCanvasAgg(figure)  # untyped in matplotlib
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _with_palette(image: "Image") -> "Image":
    """Return an image of few colors, as line plots are, with a palette: less than half the size."""
    from PIL import Image

    if not image.getcolors(_LINE_COLORS):
        return image
    return image.quantize(256, dither=Image.Dither.NONE)


def _jpeg(image: "Image") -> bytes:
    data = b""
    for quality in _QUALITIES:
        buffer = io.BytesIO()
        # No chroma subsampling: it would blur the thin colored outlines and captions.
        image.save(buffer, "JPEG", quality=quality, subsampling=0, optimize=True)
        data = buffer.getvalue()
        if len(data) <= _MAX_JPEG_BYTES:
            break
    return data
