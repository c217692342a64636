"""What every picture shares: its colors, its type, and how it is saved small."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets_lib.atomic import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colors, told apart with any color vision.
BLUE = "#0072B2"
ORANGE = "#E69F00"
VERMILION = "#D55E00"
GREEN = "#009E73"
CYAN = "#56B4E9"
INK = "#222222"
FAINT = "#8A8A8A"

_LARGEST_JPEG = 300_000
_QUALITIES = (85, 70, 55)

# No software version in the file: it would change bytes where no figure changed.
_PNG_METADATA = {"Software": None}


def new_figure(width: float, height: float, *, arranged: bool = True) -> "Figure":
    """An empty figure that belongs to no window system and no global state.

    Args:
        width: Inches.
        height: Inches.
        arranged: Whether matplotlib places the axes, or the caller does.
    """
    from matplotlib.figure import Figure

    layout: Any = "constrained" if arranged else "none"
    return Figure(figsize=(width, height), dpi=120, facecolor="white", layout=layout)


def tidy(axes: "Axes") -> None:
    """Leave a plot two thin spines and a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(colors=INK, labelsize=8, color=FAINT)
    axes.grid(True, color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)


def save(figure: "Figure", path: Path) -> Path:
    """Write a figure as its name's ending says; the same figure gives the same bytes.

    Plots belong in ``.png``. Photographs belong in ``.jpg``: a third of the size, and of a lower
    quality where that is what it takes to stay below 300 KB.

    Raises:
        OSError: The file could not be written; an older one is whole.
    """
    with atomic_path(path) as temporary:
        if path.suffix == ".jpg":
            temporary.write_bytes(_jpeg(figure))
        else:
            figure.savefig(temporary, format="png", metadata=_PNG_METADATA)
    return path


def _jpeg(figure: "Figure") -> bytes:
    from PIL import Image

    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", pil_kwargs={"compress_level": 1})
    image = Image.open(drawn).convert("RGB")
    data = b""
    for quality in _QUALITIES:
        buffer = io.BytesIO()
        # Full resolution of colors: outlines and captions are thin.
        image.save(buffer, "JPEG", quality=quality, subsampling=0, optimize=True)
        data = buffer.getvalue()
        if len(data) <= _LARGEST_JPEG:
            break
    return data
