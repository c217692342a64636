"""Paired tests of pixel metrics: the jackknife over test images.

Pixels of one image are not independent, so that images are what is resampled: a pixel metric is
recomputed without each image in turn, and the spread of these values is that of the metric over
images (Efron & Tibshirani 1993, ch. 11), for normal and defective images separately. For pixel
AUROC it is close to Obuchowski's variance of clustered ROC areas (Biometrics 53, 1997). Two models
lose the same image at once, so that the difference is paired.

Maps are those that a run kept, in 16 bits between their extremes: at most 15,361 levels. Counts of
pixels by level give every metric, with an image as well as without it.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bench.metrics.regions import label_regions

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PixelCounts:
    """Pixels by level of their score, the highest level first.

    Attributes:
        normal: ``(L,)`` pixels outside every region.
        defective: ``(L,)`` pixels of regions.
        overlap: ``(L,)`` the same, each as a share of its region.
        regions: Number of regions.
    """

    normal: Floats
    defective: Floats
    overlap: Floats
    regions: int

    def plus(self, image: "PixelCounts", sign: int = 1) -> "PixelCounts":
        """Return the counts with those of an image, or without them for a sign of −1."""
        return PixelCounts(
            self.normal + sign * image.normal,
            self.defective + sign * image.defective,
            self.overlap + sign * image.overlap,
            self.regions + sign * image.regions,
        )


def _auroc(counts: PixelCounts) -> float:
    below = counts.normal.sum() - counts.normal.cumsum()
    wins = (counts.defective * (below + counts.normal / 2)).sum()
    return float(wins / counts.normal.sum() / counts.defective.sum())


def _average_precision(counts: PixelCounts) -> float:
    hits = counts.defective.cumsum()
    flagged = np.maximum(hits + counts.normal.cumsum(), 1)
    return float((counts.defective * hits / flagged).sum() / counts.defective.sum())


def _overlap_area(counts: PixelCounts, limit: float) -> float:
    """Return the area under the per-region overlap up to a false-positive rate, over that rate."""
    rate = np.concatenate([[0.0], counts.normal.cumsum() / counts.normal.sum()])
    overlap = np.concatenate([[0.0], counts.overlap.cumsum() / counts.regions])
    end = np.interp(limit, rate, overlap)
    heights, widths = np.minimum(overlap, end), np.diff(np.minimum(rate, limit))
    return float(((heights[1:] + heights[:-1]) / 2 * widths).sum() / limit)


JACKKNIFED: Mapping[str, Callable[[PixelCounts], float]] = {
    "pixel_auroc": _auroc,
    "pixel_ap": _average_precision,
    "aupro_30": partial(_overlap_area, limit=0.3),
    "aupro_05": partial(_overlap_area, limit=0.05),
}
"""Pixel metrics whose runs can be paired by their maps."""


@dataclass(frozen=True)
class LeftOut:
    """A pixel metric with and without each image.

    Attributes:
        value: The metric over all images.
        without: ``(N,)`` the metric without each image.
        defective: ``(N,)`` booleans.
    """

    value: float
    without: Floats
    defective: npt.NDArray[np.bool_]

    def minus(self, other: "LeftOut") -> "LeftOut":
        """Return the difference to another model on the same images."""
        return LeftOut(self.value - other.value, self.without - other.without, self.defective)

    def spread(self) -> tuple[float, float]:
        """Return the standard error over images, and its degrees of freedom.

        The latter are Welch and Satterthwaite's of the two classes of images.
        """
        total = fourth = 0.0
        for own in (self.without[self.defective], self.without[~self.defective]):
            variance = float(own.var()) * (len(own) - 1)
            total += variance
            fourth += variance**2 / (len(own) - 1)
        return math.sqrt(total), total**2 / fourth if fourth else math.inf


def leave_out(metric: str, maps: Any, masks: Any, labels: Any) -> LeftOut:
    """Compute one of `JACKKNIFED` with and without each image.

    Args:
        metric: Its name.
        maps: ``(N, H, W)`` float16 from 0 on, as runs keep them.
        masks: ``(N, H, W)`` booleans.
        labels: ``(N,)`` booleans or integers; nonzero is defective.

    Raises:
        ValueError: Shapes do not fit, or there are fewer than two normal images or two images with
            defective pixels.

    Example:
        >>> maps = np.array([[[0.1, 0.2]], [[0.3, 0.1]], [[0.9, 0.2]], [[0.1, 0.8]]], np.float16)
        >>> masks = np.array([[[0, 0]], [[0, 0]], [[1, 0]], [[1, 0]]], bool)
        >>> found = leave_out("pixel_auroc", maps, masks, [0, 0, 1, 1])
        >>> found.value, found.without.tolist()
        (0.5833333333333334, [0.5625, 0.5625, 0.2, 1.0])
    """
    defective = np.asarray(labels).reshape(-1) != 0
    _check(maps, masks, defective)
    function = JACKKNIFED[metric]
    images = _CountsByImage(maps, masks)
    whole = images.whole()
    without = [function(whole.plus(own, -1)) for own in images]
    return LeftOut(function(whole), np.array(without), defective)


def _check(maps: Any, masks: Any, defective: npt.NDArray[np.bool_]) -> None:
    if maps.ndim != 3 or maps.shape != masks.shape or len(maps) != len(defective):
        raise ValueError(
            f"wanted maps and masks of one shape with a label each, found {maps.shape}, "
            f"{masks.shape} and {len(defective)} labels"
        )
    normal, marked = int((~defective).sum()), int(masks.any(axis=(1, 2)).sum())
    if normal < 2 or marked < 2:
        raise ValueError(
            "wanted at least two normal images and two with defective pixels, found "
            f"{normal} and {marked}"
        )


class _CountsByImage:
    """The counts of each image, recomputed in each pass: keeping all takes too much memory."""

    def __init__(self, maps: Any, masks: Any) -> None:
        bits = np.ascontiguousarray(maps, dtype=np.float16).view(np.uint16)
        self._bits = bits.reshape(len(maps), -1) & 0x7FFF  # the order of numbers from 0 on
        self._masks = masks.reshape(len(maps), -1)
        used = np.flatnonzero(np.bincount(self._bits.reshape(-1)))[::-1]
        self._levels = np.zeros(used[0] + 1, dtype=np.int32)
        self._levels[used] = np.arange(len(used))
        self._count = len(used)
        self._regions = label_regions(torch.from_numpy(np.ascontiguousarray(masks)))

    def __iter__(self) -> Iterator[PixelCounts]:
        regions = self._regions
        offsets, sizes = regions.offsets.numpy(), regions.sizes.numpy()
        for image, (bits, mask) in enumerate(zip(self._bits, self._masks, strict=True)):
            levels = self._levels[bits]
            own = slice(offsets[image], offsets[image + 1])
            positions = regions.positions[own].numpy() - image * len(bits)
            ids = regions.ids[own].numpy()
            yield PixelCounts(
                self._histogram(levels[~mask]),
                self._histogram(levels[mask]),
                self._histogram(levels[positions], 1 / sizes[ids]),
                len(np.unique(ids)),
            )

    def whole(self) -> PixelCounts:
        """Return the counts over all images."""
        total = None
        for own in self:
            total = own if total is None else total.plus(own)
        assert total is not None
        return total

    def _histogram(self, levels: Any, weights: Any = None) -> Floats:
        counts = np.bincount(levels, weights, self._count)
        return counts.astype(np.float64)
