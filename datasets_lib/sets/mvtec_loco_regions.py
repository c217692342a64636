"""Single defects of MVTec LOCO, each with the overlap that counts as a full detection.

The pixel value of a mask identifies the kind of its defect; ``defects_config.json`` holds the
saturation of each kind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image

from datasets_lib.entry import SaturatedRegion
from datasets_lib.images.decode import read_file, resize_mask, to_mask
from datasets_lib.images.geometry import Size, as_geometry
from datasets_lib.layouts.annotations import read_json, unusable
from datasets_lib.layouts.category import Sample


@dataclass(frozen=True)
class Saturation:
    """Overlap at which a defect counts as fully detected (section 4.2 of the paper).

    Attributes:
        defect: Kind of the defect.
        threshold: The overlap: a share of the defect's area, or pixels of the original image.
        relative: Whether it is a share.
    """

    defect: str
    threshold: float
    relative: bool

    def area(self, defect_area: int, shrunk: float = 1.0) -> float:
        """Return the overlap that suffices for a defect, in pixels.

        Args:
            defect_area: Pixels of the defect at the evaluated size.
            shrunk: Pixels of the evaluated size per pixel of the original.

        Example:
            >>> Saturation("scratch", 0.5, relative=True).area(200)
            100.0
        """
        limit = self.threshold * defect_area if self.relative else self.threshold * shrunk
        return min(limit, defect_area)


def saturated_regions(samples: Sequence[Sample], size: Size) -> list[SaturatedRegion]:
    """Return the regions of a category's test samples at a size, in order of samples and masks.

    A saturation in pixels of the original shrinks with the image. A defect that vanishes at this
    size is left out: no map of this size could find it.

    Raises:
        DatasetError: A mask is damaged, or holds a value that ``defects_config.json`` lacks.
    """
    regions = []
    height, width = as_geometry(size).size
    for index, sample in enumerate(samples):
        if not sample.masks:
            continue
        # <category>/test/<kind>/<image>: the configuration lies in the category.
        saturations = read_saturation(sample.image.parents[2])
        with Image.open(sample.image) as image:
            native = image.size
        for file in sample.masks:
            data = read_file(file)
            mask = resize_mask(to_mask(data, file, native), size)
            value = int(np.asarray(Image.open(BytesIO(data))).max())
            if value not in saturations:
                raise unusable(
                    file,
                    f"the pixel value {value}",
                    f"one of {sorted(saturations)}, as defects_config.json has them",
                    "Unpack the archive of MVTec LOCO AD again.",
                )
            saturation = saturations[value]
            area = int(mask.sum())
            # Thresholds in pixels are those of the original image.
            shrunk = 1.0 if saturation.relative else height * width / (native[0] * native[1])
            if area:
                regions.append(SaturatedRegion(index, mask, saturation.area(area, shrunk)))
    return regions


def read_saturation(path: Path) -> Mapping[int, Saturation]:
    """Return the saturations in ``defects_config.json``, by pixel value of the masks.

    Raises:
        DatasetError: The file is missing or not as published.
    """
    file = path / "defects_config.json"
    wanted = (
        "a list of objects with defect_name, pixel_value, saturation_threshold and "
        "relative_saturation"
    )
    remedy = "Unpack the archive of MVTec LOCO AD again."
    rows = read_json(file, wanted, remedy)
    try:
        return MappingProxyType(dict(_saturation(row) for row in rows))
    except (ValueError, TypeError, KeyError) as error:
        raise unusable(file, repr(error), wanted, remedy) from error


def _saturation(row: Mapping[str, Any]) -> tuple[int, Saturation]:
    value, threshold = int(row["pixel_value"]), float(row["saturation_threshold"])
    if not 0 < value < 256 or not 0 < threshold < float("inf"):
        raise ValueError(f"pixel_value {value}, saturation_threshold {threshold}")
    return value, Saturation(str(row["defect_name"]), threshold, bool(row["relative_saturation"]))
