"""Maps over whole images, whatever part of a frame an image fills.

Metrics are over whole images, each squashed to the frame's size, however the images were fitted:
the same masks for every fit, and no padding among the pixels. A padded map is enlarged from the
area of the image. A cropped one is placed where it was seen; the rest is flagged last, so that a
defect there counts as missed.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.run.predict import HeadPredictions
from datasets_lib.images.geometry import Geometry, Window, picture_size
from datasets_lib.layouts.category import Sample


def windows_of(samples: Sequence[Sample], frame: Geometry) -> list[Window]:
    """Return where each sample's image lies in the frame, from the headers of the files."""
    return [frame.window(*picture_size(sample.image)) for sample in samples]


def over_whole_images(
    predictions: dict[str, HeadPredictions], windows: Sequence[Window]
) -> dict[str, HeadPredictions]:
    """Return predictions with maps ``(N, H, W)`` of whole images instead of frames.

    Args:
        predictions: Predictions by head, with maps ``(N, H, W)`` of frames.
        windows: Where each image lies in its frame.
    """
    return {
        head: replace(
            result, maps=None if result.maps is None else whole_maps(result.maps, windows)
        )
        for head, result in predictions.items()
    }


def whole_maps(maps: Tensor, windows: Sequence[Window]) -> Tensor:
    """Return maps of whole images, squashed to the size of the frames' maps ``(N, H, W)``.

    Bilinear, antialiased where an image is larger than its frame.
    """
    lowest, whole = maps.min(), torch.empty_like(maps)
    for window in dict.fromkeys(windows):
        rows = [row for row, each in enumerate(windows) if each == window]
        whole[rows] = _of_window(maps[rows], window, lowest)
    return whole


def _of_window(maps: Tensor, window: Window, lowest: Tensor) -> Tensor:
    size = maps.shape[-2:]
    canvas = lowest.repeat(len(maps), window.height, window.width)
    # Rows and columns that frame and image share, counted in each.
    rows, image_rows = _shared(window.top, window.height, size[0])
    columns, image_columns = _shared(window.left, window.width, size[1])
    canvas[:, image_rows, image_columns] = maps[:, rows, columns]
    if canvas.shape[-2:] == size:
        return canvas
    resized = F.interpolate(canvas[:, None], size, mode="bilinear", antialias=True)
    return resized[:, 0]


def _shared(begin: int, length: int, side: int) -> tuple[slice, slice]:
    first, last = max(0, begin), min(side, begin + length)
    return slice(first, last), slice(first - begin, last - begin)
