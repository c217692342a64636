"""One picture per test image: the image, its ground truth, its anomaly map and the overlay.

Drawn pixel by pixel: matplotlib takes a tenth of a second for each, which hundreds would add up.
"""

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.file_names import truncated_stem
from bench.plots.error_panels import verdict_of
from bench.plots.errors import normal_scale
from bench.plots.glyphs import drawable
from bench.plots.heat import colors_of, overlaid, shown_heat
from bench.plots.style import CYAN, INK

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

_MIN_SIDE = 224
"""Smaller images are enlarged by a whole factor, or their captions would not fit."""

_GAP, _STRIP, _LINE, _FONT = 4, 22, 18, 13
_TITLES = ("image", "ground truth", "anomaly map", "overlay")


@dataclass(frozen=True, eq=False)
class Panels:
    """Test images with what a model says about them.

    Attributes:
        images: (N, H, W, 3) uint8.
        masks: (N, H, W) bool; None without masks.
        maps: (N, H, W) raw anomaly maps; None for a model without.
        scores: (N,) raw scores.
        labels: (N,) bool, True where defective.
        names: Names of the N images.
        threshold: Scores above it count as defective; None without one.
    """

    images: "np.ndarray"
    masks: "np.ndarray | None"
    maps: "np.ndarray | None"
    scores: "np.ndarray"
    labels: "np.ndarray"
    names: Sequence[str]
    threshold: float | None


def draw_image_panels(panels: Panels, folder: Path) -> Path:
    """Write a PNG for every image into a folder that holds nothing else, and return the folder.

    All maps share one color scale, that of `bench.plots.errors.plot_errors`.

    Raises:
        OSError: A file could not be written.
    """
    scale = None if panels.maps is None else normal_scale(panels.maps, panels.labels)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for row, name in enumerate(file_names(panels.names)):
        _picture(panels, row, scale).save(folder / f"{name}.png", "PNG", compress_level=3)
    return folder


def file_names(names: Iterable[str]) -> Iterator[str]:
    """Yield a file name, without its ending, for the name of each image.

    >>> list(file_names(["test/good/1.png", "test/a/1.png", "test/good/1.jpg"]))
    ['good_1', 'a_1', 'good_1_2']
    """
    taken: dict[str, int] = {}
    for name in names:
        stem = re.sub(r"\.[^./]*$", "", name).removeprefix("test/").replace("/", "_")
        taken[stem] = taken.get(stem, 0) + 1
        own = stem if taken[stem] == 1 else f"{stem}_{taken[stem]}"
        yield truncated_stem(own, len(".png"))


def _picture(panels: Panels, row: int, scale: tuple[float, float] | None) -> "Image":
    from PIL import Image, ImageDraw

    tiles = _tiles(panels, row, scale)
    width, height = tiles[0].size
    whole = len(tiles) * width + (len(tiles) + 1) * _GAP
    picture = Image.new("RGB", (whole, _STRIP + height + 2 * _LINE + _GAP), "white")
    draw = ImageDraw.Draw(picture)
    for place, (tile, title) in enumerate(zip(tiles, _TITLES, strict=False)):
        left = _GAP + place * (width + _GAP)
        picture.paste(tile, (left, _STRIP))
        _write(draw, (left, 3), title, INK)
    defective = bool(panels.labels[row])
    flagged = None
    above = "no threshold"
    if panels.threshold is not None:
        flagged = bool(panels.scores[row] > panels.threshold)
        above = f"{'above' if flagged else 'not above'} the threshold {panels.threshold:.4g}"
    verdict, color = verdict_of(defective=defective, flagged=flagged)
    bottom = _STRIP + height + 2
    _write(draw, (_GAP, bottom), verdict, color)
    _write(draw, (_GAP + 130, bottom), f"score {panels.scores[row]:.4g}, {above}", INK)
    _write(draw, (_GAP, bottom + _LINE), panels.names[row], INK)
    return picture


def _tiles(panels: Panels, row: int, scale: tuple[float, float] | None) -> "list[Image]":
    """Return the image, its ground truth and, where there is a map, the map and the overlay."""
    from PIL import Image

    pixels = panels.images[row]
    factor = max(1, -(-_MIN_SIDE // min(pixels.shape[:2])))

    def enlarged(array: "np.ndarray") -> "np.ndarray":
        return array.repeat(factor, 0).repeat(factor, 1)

    image = enlarged(pixels)
    truth = image
    if panels.masks is not None and panels.masks[row].any():
        truth = _outlined(image, enlarged(panels.masks[row]))
    tiles = [image, truth]
    if panels.maps is not None and scale is not None:
        heat = shown_heat(panels.maps[row], *scale)
        tiles += [enlarged(colors_of(heat)), enlarged(overlaid(pixels, heat))]
    return [Image.fromarray(tile) for tile in tiles]


def _outlined(image: "np.ndarray", mask: "np.ndarray") -> "np.ndarray":
    """Return an image with the border of a mask drawn around it, two pixels wide on black."""
    import numpy as np
    from PIL import Image, ImageFilter

    drawn = image.copy()
    grown = Image.fromarray(mask.astype(np.uint8) * 255)
    before = mask
    for size, color in ((5, CYAN), (3, "#000000")):
        grown = grown.filter(ImageFilter.MaxFilter(size))
        now = np.asarray(grown) > 0
        drawn[now & ~before] = [int(color[place : place + 2], 16) for place in (1, 3, 5)]
        before = now
    return drawn


def _write(draw: "ImageDraw", place: tuple[int, int], text: str, color: str) -> None:
    from matplotlib.font_manager import FontProperties, findfont
    from PIL import ImageFont

    words, family = drawable(text)
    file = findfont(FontProperties(family=[family or "DejaVu Sans"]))
    draw.text(place, words, fill=color, font=ImageFont.truetype(file, _FONT))
