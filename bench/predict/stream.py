"""Predictions of a stream of images, in batches, in order and in bounded memory."""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bench.checkpoint.metadata import Metadata
from bench.predict.preprocessing import Decoded, decode
from datasets_lib.images.decode import UInt8, read_file
from datasets_lib.layouts.category import DatasetError

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Frame:
    """An image to predict.

    Attributes:
        name: Name in the results.
        path: Its file, or a name for messages.
        data: Contents of the file; None to read it.
        picture_stem: Path of its pictures below their folder, without a suffix.
    """

    name: str
    path: Path
    data: bytes | None = None
    picture_stem: str = ""


@dataclass
class Scored:
    """A model's prediction for an image.

    Attributes:
        frame: The image.
        error: Why there is no prediction; then nothing below is set.
        scores: Raw scores by head.
        maps: ``(h, w)`` raw maps by head; none for heads without.
        probabilities: Probabilities by class, of a classifier.
        size: Width and height of the image in pixels.
        data: Contents of the file, where asked for.
        ms: Milliseconds that it took: its decoding, and its share of its batch.
    """

    frame: Frame
    error: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    maps: dict[str, Floats] = field(default_factory=dict)
    probabilities: Floats | None = None
    size: tuple[int, int] = (0, 0)
    data: bytes = b""
    ms: float = 0.0


@dataclass(frozen=True)
class BatchScores:
    """Scores of a batch: ``(B,)`` and maps ``(B, h, w)`` by head, or ``(B, classes)``."""

    scores: dict[str, Floats]
    maps: dict[str, Floats]
    probabilities: Floats | None = None


class Scorer(Protocol):
    """A loaded model, of torch or of another runtime."""

    @property
    def metadata(self) -> Metadata:
        """Description of the model."""

    def score(self, pixels: UInt8) -> BatchScores:
        """Return the model's predictions for images ``(B, H, W, 3)``; NaN where it fails."""


@dataclass
class _Pending:
    frame: Frame
    decoded: "Future[tuple[Decoded | str, bytes, float]]"


def predict_stream(
    scorer: Scorer, frames: Iterable[Frame | None], batch_size: int, *, keep_data: bool = False
) -> Iterator[Scored]:
    """Yield predictions in the order of the images; for one that cannot be read, its error.

    At most two batches are in memory: one is decoded by threads while the other is predicted.

    Args:
        scorer: The model.
        frames: Images; a None predicts what has come so far, for sources that wait.
        batch_size: Number of images per batch.
        keep_data: Whether results hold the contents of their files.
    """
    pending: deque[_Pending] = deque()
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for frame in frames:
            if frame is not None:
                future = pool.submit(_decoded, frame, scorer.metadata, keep_data)
                pending.append(_Pending(frame, future))
            while len(pending) >= 2 * batch_size or (frame is None and pending):
                yield from _predicted(scorer, pending, batch_size)
        while pending:
            yield from _predicted(scorer, pending, batch_size)


def _decoded(
    frame: Frame, metadata: Metadata, keep_data: bool
) -> tuple[Decoded | str, bytes, float]:
    """Return an image or why it cannot be decoded, its data if kept, and the seconds it took."""
    begin = time.perf_counter()
    try:
        data = frame.data if frame.data is not None else read_file(frame.path)
        image = decode(data, frame.path, metadata.preprocessing)
    except DatasetError as error:
        return str(error), b"", 0.0
    except MemoryError:
        return f"The image {frame.path} does not fit in memory. Scale it down.", b"", 0.0
    return image, data if keep_data else b"", time.perf_counter() - begin


def _predicted(scorer: Scorer, pending: "deque[_Pending]", batch_size: int) -> Iterator[Scored]:
    """Take a batch, predict the images that could be decoded, and yield all in order."""
    batch = [pending.popleft() for _ in range(min(batch_size, len(pending)))]
    results = [Scored(each.frame) for each in batch]
    rows: list[Scored] = []
    pixels = []
    for result, each in zip(results, batch, strict=True):
        image, result.data, seconds = each.decoded.result()
        if isinstance(image, str):
            result.error = image
            continue
        result.size, result.ms = image.size, 1e3 * seconds
        rows.append(result)
        pixels.append(image.pixels)
    if rows:
        begin = time.perf_counter()
        scores = scorer.score(np.stack(pixels))
        share = 1e3 * (time.perf_counter() - begin) / len(rows)
        for row, result in enumerate(rows):
            _fill(result, scores, row)
            result.ms += share
    yield from results


def _fill(result: Scored, scores: BatchScores, row: int) -> None:
    result.scores = {head: float(values[row]) for head, values in scores.scores.items()}
    if any(value != value for value in result.scores.values()):  # NaN
        result.error = f"The model scored the image {result.frame.path} with NaN."
        return
    result.maps = {head: maps[row] for head, maps in scores.maps.items()}
    if scores.probabilities is not None:
        result.probabilities = scores.probabilities[row]
