"""Run an export on real images and compare it with its checkpoint."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.checkpoint.metadata import Preprocessing
from bench.export.description import TOLERANCE, ExportCheck
from bench.export.errors import ExportError
from bench.predict.predictor import Predictor, as_tensor
from bench.predict.preprocessing import seen
from datasets_lib.images.decode import UInt8, read_file, resize_image, to_rgb
from datasets_lib.images.geometry import Geometry

MIN_IMAGES = 16
BATCH_SIZES = (1, 16)

_SMALLEST = 1e-30  # outputs that are all zero differ by nothing or by everything

_OWN_SIZE = 8  # images whose resizing is checked too

Outputs = list[npt.NDArray[np.float32]]
RunExport = Callable[[UInt8], Outputs]
"""Runs an export: images ``(B, h, w, 3)`` to scores and, where there are some, maps."""


def compare(
    run: RunExport,
    predictor: Predictor,
    head: str,
    files: Sequence[Path],
    any_size: bool,
    runtime: str,
) -> ExportCheck:
    """Compare an export with its checkpoint in batches of 1 and of 16.

    Args:
        run: Runs the export.
        predictor: The checkpoint's model.
        head: The exported head.
        files: At least `MIN_IMAGES` image files.
        any_size: Whether the graph resizes images, which is compared too.
        runtime: What runs the export, with its version.

    Raises:
        ExportError: There are too few images, or a difference is above `TOLERANCE`.
        DatasetError: An image cannot be read.
    """
    if len(files) < MIN_IMAGES:
        raise ExportError(
            f"An export is checked on at least {MIN_IMAGES} images, found {len(files)}. With "
            "--images, name a folder of images like those that the model was trained on."
        )
    images = [_whole(file, predictor.metadata.preprocessing) for file in files]
    frames = np.stack([_frame(image, predictor) for image in images])
    wanted = _predicted(predictor, head, frames)
    largest = _largest(
        _difference(run(frames[begin : begin + size]), wanted, begin)
        for size in BATCH_SIZES
        for begin in range(0, len(frames), size)
    )
    _require(largest, "", runtime)
    magnitude = float(np.abs(wanted[0]).max())
    check = ExportCheck(len(files), BATCH_SIZES, largest, 0, None, None, magnitude, runtime)
    if not any_size:
        return check
    own = images[:_OWN_SIZE]
    found = [run(np.array(image)[None]) for image in own]
    by_rows = np.stack([_frame(_narrowed(image, predictor), predictor) for image in own])
    rows_first = _predicted(predictor, head, by_rows)
    resized, pillow = (
        _largest(_difference(outputs, each, row) for row, outputs in enumerate(found))
        for each in (rows_first, wanted)
    )
    _require(resized, " Its resizing is at fault: export with --frames.", runtime)
    return replace(
        check,
        own_size_images=len(own),
        own_size_difference=resized,
        pillow_difference=pillow,
    )


def _predicted(predictor: Predictor, head: str, frames: UInt8) -> Outputs:
    """Return the checkpoint's scores and maps of frames ``(N, H, W, 3)``."""
    top, left, height, width = seen(predictor.metadata.preprocessing)
    cropped = np.ascontiguousarray(frames[:, top : top + height, left : left + width])
    prediction = predictor.predict(as_tensor(cropped))[head]
    maps = [] if prediction.maps is None else [prediction.maps.numpy()]
    return [prediction.scores.numpy(), *maps]


def _difference(found: Outputs, wanted: Outputs, begin: int) -> float:
    """Return the largest difference of a batch from the rows from ``begin`` on.

    See `ExportCheck`.
    """
    if len(found) != len(wanted):
        raise ExportError(f"The export has {len(found)} outputs, wanted {len(wanted)}.")
    rows = slice(begin, begin + len(found[0]))
    return _largest(
        float(np.abs(got - want[rows]).max()) / max(_SMALLEST, float(np.abs(want).max()))
        for got, want in zip(found, wanted, strict=True)
    )


def _largest(differences: Iterable[float]) -> float:
    """Return the largest difference, or NaN if any is: Python's `max` may pass over a NaN."""
    return float(np.max(list(differences)))


def _require(difference: float, advice: str, runtime: str) -> None:
    if not difference <= TOLERANCE:  # a NaN differs too
        raise ExportError(
            f"The export is wrong: in {runtime} its scores or maps differ from the checkpoint's by "
            f"{difference:.2g} of their largest, more than {TOLERANCE:g}. It was not kept.{advice}"
        )


def _whole(file: Path, own: Preprocessing) -> Image.Image:
    return to_rgb(read_file(file), file, own.bits)


def _frame(image: Image.Image, predictor: Predictor) -> UInt8:
    own = predictor.metadata.preprocessing
    return resize_image(image, Geometry(own.height, own.width, own.fit))


def _narrowed(image: Image.Image, predictor: Predictor) -> Image.Image:
    """Return an image resized along its rows alone, the first of Pillow's two steps."""
    width = predictor.metadata.preprocessing.width
    return image.resize((width, image.height), Image.Resampling.BILINEAR)
