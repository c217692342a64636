"""Heat maps and overlays of predicted images, all of a dataset in one color scale."""

from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.checkpoint.metadata import Calibration, Preprocessing
from bench.plots.heat import colors_of, overlaid, shown_heat
from bench.predict.preprocessing import on_image
from bench.predict.stream import Floats
from datasets_lib.atomic import atomic_path
from datasets_lib.images.decode import to_rgb

_CYAN = (0, 229, 255)

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

    def draw(self, data: bytes, path: Path, values: Floats, place: str) -> list[Path]:
        """Write ``PLACE_heat.png`` and ``PLACE_overlay.png`` at the image's own size.

        Args:
            data: Contents of the image file.
            path: Its path.
            values: ``(h, w)`` map.
            place: Path below the folder, without a suffix.

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
        return [self._save(colors, f"{place}_heat"), self._save(overlay, f"{place}_overlay")]

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
        return save(figure, self.folder / "scale.png")

    def colors(self, values: Floats) -> tuple[Floats, RGB]:
        """Return the heat ``(H, W)`` in [0, 1] of a map, and its colors ``(H, W, 3)``."""
        low, high = self._range
        heat = shown_heat(values, low, (low + high) / 2)
        return heat, colors_of(heat)

    @cached_property
    def _range(self) -> tuple[float, float]:
        low, high = self.calibration.map_range or (0.0, 1.0)
        return low, max(high, low + 1e-12)

    def _save(self, pixels: RGB, name: str) -> Path:
        path = self.folder / f"{name}.png"
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
