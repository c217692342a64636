"""How a picture of any size becomes a frame of fixed size, and where in the frame it lies."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self, get_args

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt
    from PIL import Image

Fit = Literal["squash", "pad", "crop", "middle"]
"""``squash`` fills the frame whatever the aspect ratio. ``pad`` and ``crop`` keep the ratio: the
whole picture with gray borders, or its center without. ``middle`` squashes the picture to twice
the frame's size and keeps its center, as EfficientAD's code does with pictures of ImageNet."""

FITS: tuple[Fit, ...] = ("squash", "pad", "crop")
"""Fits for pictures that models are trained and evaluated on."""

PADDING = (124, 116, 104)
"""Gray of padded borders: the mean of ImageNet, which is zero to most networks."""


@dataclass(frozen=True)
class Window:
    """Where a picture lies in a frame, in pixels; a part outside the frame is cropped away.

    Attributes:
        top: First row; negative where the picture is higher than the frame.
        left: First column; negative where the picture is wider than the frame.
        height: Height of the resized picture.
        width: Width of the resized picture.
    """

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Geometry:
    """A frame's size and how pictures are fitted into it.

    >>> Geometry(256, 640, "pad").window(width=1250, height=500)
    Window(top=0, left=0, height=256, width=640)
    >>> str(Geometry(256, 640, "pad")), str(Geometry(256, 256))
    ('256x640 pad', '256')

    Attributes:
        height: Height of the frame in pixels.
        width: Width of the frame in pixels.
        fit: How a picture of another aspect ratio is fitted, see `Fit`.
    """

    height: int
    width: int
    fit: Fit = "squash"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the geometry that `str` wrote.

        Raises:
            ValueError: The text is not a geometry.
        """
        match = re.fullmatch(rf"(\d+)(?:x(\d+))?(?: ({'|'.join(get_args(Fit))}))?", text)
        if match is None:
            raise ValueError(f"wanted a size such as '256' or '256x640 pad', found '{text}'")
        height, width, fit = match.groups()
        return cls(int(height), int(width or height), fit or "squash")  # type: ignore[arg-type]

    def __str__(self) -> str:
        size = f"{self.height}" if self.height == self.width else f"{self.height}x{self.width}"
        return size if self.fit == "squash" else f"{size} {self.fit}"

    @property
    def size(self) -> tuple[int, int]:
        """Return height and width in pixels."""
        return self.height, self.width

    def window(self, width: int, height: int) -> Window:
        """Return where a picture of a width and height in pixels lies in the frame."""
        if self.fit == "squash":
            return Window(0, 0, self.height, self.width)
        if self.fit == "middle":
            return Window(-(self.height // 2), -(self.width // 2), 2 * self.height, 2 * self.width)
        ratios = self.height / height, self.width / width
        scale = min(ratios) if self.fit == "pad" else max(ratios)
        rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
        return Window((self.height - rows) // 2, (self.width - columns) // 2, rows, columns)

    def image(self, picture: Image.Image) -> npt.NDArray[np.uint8]:
        """Return an RGB picture in its frame, uint8 (height, width, 3)."""
        import numpy as np
        from PIL import Image

        return np.asarray(self._framed(picture, Image.Resampling.BILINEAR, PADDING))

    def mask(self, picture: Image.Image) -> npt.NDArray[np.bool_]:
        """Return a gray picture of 0 and 255 in its frame, bool (height, width); padding is 0."""
        import numpy as np
        from PIL import Image

        mask: npt.NDArray[np.bool_] = (
            np.asarray(self._framed(picture, Image.Resampling.NEAREST, 0)) > 0
        )
        return mask

    def _framed(
        self, picture: Image.Image, how: Image.Resampling, color: int | tuple[int, ...]
    ) -> Image.Image:
        from PIL import Image

        window = self.window(*picture.size)
        resized = picture.resize((window.width, window.height), how)
        if resized.size == (self.width, self.height):
            return resized
        frame = Image.new(picture.mode, (self.width, self.height), color)
        frame.paste(resized, (window.left, window.top))
        return frame


Size = int | Geometry
"""The side of a square in pixels, into which pictures are squashed, or a geometry."""


def as_geometry(size: Size) -> Geometry:
    """Return a size as a geometry."""
    return size if isinstance(size, Geometry) else Geometry(size, size)


def picture_size(path: Path) -> tuple[int, int]:
    """Return the width and height of an image file as stored, from its header."""
    from PIL import Image
    from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, TiffImageFile

    with Image.open(path) as picture:
        if isinstance(picture, TiffImageFile):  # whose size Pillow turns by its orientation
            return int(picture.tag_v2[IMAGEWIDTH]), int(picture.tag_v2[IMAGELENGTH])
        return picture.size
