"""Single defects of MVTec LOCO, each with the overlap that counts as a full detection."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image

from datasets_lib.entry import SaturatedRegion
from datasets_lib.images.decode import read_file, resize_mask, to_mask
from datasets_lib.layouts.annotations import unusable
from datasets_lib.layouts.category import Sample
from datasets_lib.sets.mvtec_loco import read_saturation


def saturated_regions(samples: Sequence[Sample], size: int) -> list[SaturatedRegion]:
    """Return the regions of a category's test samples at a size, in order of samples and masks.

    A saturation in pixels of the original shrinks with the image. A defect that vanishes at this
    size is left out: no map of this size could find it.

    Raises:
        DatasetError: A mask is damaged, or holds a value that ``defects_config.json`` lacks.
    """
    regions = []
    for index, sample in enumerate(samples):
        if not sample.masks:
            continue
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
            shrunk = 1.0 if saturation.relative else size * size / (native[0] * native[1])
            if area:
                regions.append(SaturatedRegion(index, mask, saturation.area(area, shrunk)))
    return regions
