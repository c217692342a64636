"""Heat maps and overlays of predicted images, all of a dataset in one color scale."""

from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.checkpoint.metadata import Calibration, Preprocessing
from bench.file_names import truncated_stem
from bench.plots.heat import colors_of, overlaid, shown_heat
from bench.predict.preprocessing import on_image
from bench.predict.stream import Floats
from datasets_lib.atomic import atomic_path
from datasets_lib.images.decode import to_rgb

_CYAN = (0, 229, 255)
_HEAT, _OVERLAY, _SCALE = "_heat.png", "_overlay.png", "scale.png"

_OTHERS = len(f".{_OVERLAY}.12345678.tmp")
"""Bytes around a stem in the longest name of a picture, which `atomic_path` gives it at first."""

RGB = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Pictures:
    """Draws maps in colors that the checkpoint fixes, so that pictures can be compared.

    The dark end is the median pixel of normal images; the middle is the value below which 95 % of
    normal images peak. Colors follow the square root, so that faint traces are visible.

    Attributes:
        folder: Folder of the pictures.
        calibration: Whose ``map_range`` is the scale.
        preprocessing: Where the map lies in the image.
        contour: Value of the map that is outlined; None outlines nothing.
    """

    folder: Path
    calibration: Calibration
    preprocessing: Preprocessing
    contour: float | None = None

    def draw(self, data: bytes, path: Path, values: Floats, picture_stem: str) -> list[Path]:
        """Write ``STEM_heat.png`` and ``STEM_overlay.png`` at the image's own size.

        A name that would be too long for a file is cut and ends in a hash.

        Args:
            data: Contents of the image file.
            path: Its path.
            values: ``(h, w)`` map.
            picture_stem: Path below the folder, without a suffix.

        Returns:
            Paths of both files.

        Raises:
            OSError: A file cannot be written.
        """
        image = to_rgb(data, path, self.preprocessing.bits)
        whole = on_image(values, self.preprocessing, image.size)
        heat, colors = self.colors(whole)
        overlay = overlaid(np.asarray(image), heat)
        if self.contour is not None:
            overlay[_outline(whole > self.contour)] = _CYAN
        target = self.folder / picture_stem
        stem = truncated_stem(target.name, _OTHERS)
        return [
            _save(pixels, target.with_name(stem + end))
            for pixels, end in ((colors, _HEAT), (overlay, _OVERLAY))
        ]

    def draw_scale(self) -> Path:
        """Write ``scale.png``, the colors with their values.

        Raises:
            OSError: The file cannot be written.
        """
        from bench.plots.error_panels import draw_color_bar
        from bench.plots.style import new_figure, save

        low, high = self._range
        figure = new_figure(4, 1.1, arranged=False)
        draw_color_bar(figure.add_axes((0.05, 0.8, 0.9, 0.15)), low, (low + high) / 2, high)
        return save(figure, self.folder / _SCALE)

    def colors(self, values: Floats) -> tuple[Floats, RGB]:
        """Return the heat ``(H, W)`` in [0, 1] of a map, and its colors ``(H, W, 3)``."""
        low, high = self._range
        heat = shown_heat(values, low, (low + high) / 2)
        return heat, colors_of(heat)

    @cached_property
    def _range(self) -> tuple[float, float]:
        low, high = self.calibration.map_range or (0.0, 1.0)
        return low, max(high, low + 1e-12)


def is_picture(file: Path, folder: Path) -> bool:
    """Return whether a file is one that `Pictures` write into a folder, by its name.

    Args:
        file: Absolute path of the file.
        folder: Absolute path of the folder.

    Example:
        >>> maps = Path("/parts/maps")
        >>> is_picture(maps / "good/1_heat.png", maps), is_picture(maps / "good/1.png", maps)
        (True, False)
    """
    drawn = file.name.endswith((_HEAT, _OVERLAY)) and folder in file.parents
    return drawn or file == folder / _SCALE


def _save(pixels: RGB, path: Path) -> Path:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=3)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
    return path


def _outline(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the border of regions, wide enough to be visible at the image's size."""
    from scipy import ndimage

    width = max(1, round(min(inside.shape) / 200))
    inner = ndimage.binary_erosion(inside, iterations=width)
    border: npt.NDArray[np.bool_] = inside & ~inner
    return border
