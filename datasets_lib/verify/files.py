"""What is wrong with an image or mask file that decodes: rotated, inverted, drawn in alpha."""

from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from datasets_lib.images.decode import FORMATS, read_file, to_mask
from datasets_lib.images.orientation import UPRIGHT, orientation_of
from datasets_lib.layouts.category import Sample

# Cameras store previews after the photograph in this variant of JPEG.
_WITH_PREVIEWS = "MPO"


def file_faults(image: Image.Image) -> tuple[str, ...]:
    """Return what is wrong with a file, from its header, as kinds of problems."""
    faults = []
    orientation = orientation_of(image)
    if orientation is None:
        faults.append("EXIF data that cannot be read")
    elif orientation != UPRIGHT:
        faults.append(f"EXIF orientation {orientation}, which is not applied")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != _WITH_PREVIEWS:
        faults.append("several pages or frames, of which the first is used")
    return tuple(faults)


def mask_faults(sample: Sample, size: tuple[int, int]) -> tuple[str, ...]:
    """Return what is wrong with the masks of an image, as kinds of problems.

    Raises:
        DatasetError: A mask cannot be used.
    """
    faults: list[str] = []
    union = np.zeros(size[::-1], np.bool_)
    for file in sample.masks:
        data = read_file(file)
        marked = np.asarray(to_mask(data, file, size)) > 0
        union |= marked
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            faults += [f"mask with {fault}" for fault in file_faults(image)]
            faults += _alpha_faults(image, marked)
            if marked.all():
                faults.append(_full_fault(image))
        if _is_inverted(marked):
            faults.append("inverted mask, which marks more than half of the image and its corners")
    if sample.masks and not union.any():
        faults.append("empty mask of a defect")
    return tuple(faults)


def _alpha_faults(image: Image.Image, marked: npt.NDArray[np.bool_]) -> list[str]:
    """Return the fault of a mask whose pixels differ only in alpha, which is dropped."""
    if marked.any() and not marked.all():
        return []
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    low, high = alpha.getextrema() if alpha else (0, 0)
    return ["mask drawn in the alpha channel, which is dropped"] if low != high else []


def _full_fault(image: Image.Image) -> str:
    low, high = image.convert("L").getextrema()
    if low == high:
        return "mask that marks the whole image"
    return "mask whose background is not zero, so that it marks the whole image"


def _is_inverted(marked: npt.NDArray[np.bool_]) -> bool:
    corners = marked[[0, 0, -1, -1], [0, -1, 0, -1]]
    return bool(corners.all() and 0.5 < marked.mean() < 1)
