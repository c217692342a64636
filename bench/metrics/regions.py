"""Defective regions: the connected components of the masks, labeled once and used by many metrics.

Pixels touch by an edge or a corner (8-connectivity), as in MVTec's evaluation code and OpenCV's
default. Labeling works on the runs of each pixel row, of which there are hundreds of times fewer
than pixels: runs that touch across rows are edges of a graph whose components are the regions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench.metrics.inputs import defective

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Regions:
    """Which pixels are defective, and which region each of them belongs to.

    Attributes:
        shape: ``(N, H, W)`` of the masks.
        positions: ``(P,)`` int64, flat positions of the regions' pixels, grouped by image. A pixel
            of two annotated regions is listed twice; connected components never overlap.
        ids: ``(P,)`` int32, the region of each position.
        sizes: ``(R,)`` int64, pixels of each region.
        images: ``(R,)`` int64, the image of each region, ascending.
    """

    shape: tuple[int, int, int]
    positions: Tensor
    ids: Tensor
    sizes: Tensor
    images: Tensor

    @property
    def count(self) -> int:
        """Number of regions."""
        return len(self.sizes)

    @property
    def offsets(self) -> Tensor:
        """``(N + 1,)`` int64: image i owns ``positions[offsets[i]:offsets[i + 1]]``."""
        offsets = self.sizes.new_zeros(self.shape[0] + 1)
        return offsets.index_add_(0, self.images + 1, self.sizes).cumsum(0)

    def to(self, device: torch.device) -> "Regions":
        """Return the regions on another device."""
        if self.positions.device == device:
            return self
        names = ("positions", "ids", "sizes", "images")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


@dataclass(frozen=True)
class Runs:
    """Unbroken stretches of defective pixels in one row: flat ``start``, ``length``, region id."""

    start: Integers
    length: Integers
    region: Integers


def label_regions(masks: Tensor) -> Regions:
    """Label the connected components of every image, numbered by their first pixel.

    Args:
        masks: ``(N, H, W)`` booleans or integers on any device; nonzero is defective.

    Returns:
        The regions, on the CPU.

    Raises:
        ValueError: The masks are floating point or not three-dimensional.

    Example:
        >>> regions = label_regions(torch.tensor([[[1, 0, 0, 1], [0, 1, 0, 1]]]))
        >>> regions.count, regions.sizes.tolist()
        (2, [2, 2])
    """
    return assemble(mask_shape(masks), connected_runs(masks))


def annotated_regions(
    shape: tuple[int, int, int], regions: Sequence[tuple[int, Tensor]]
) -> Regions:
    """Return regions as annotated, one mask each, which may touch or overlap (MVTec LOCO).

    Args:
        shape: ``(N, H, W)`` of the set.
        regions: Index of the image and ``(H, W)`` booleans or integers of each region. The order
            within an image is kept, images are put in ascending order.

    Raises:
        ValueError: A mask is empty or of another size, or an index is out of range.
    """
    positions, sizes, images = [torch.zeros(0, dtype=torch.int64)], [], []
    for image, mask in sorted(regions, key=lambda region: region[0]):
        inside = defective(mask.cpu()).nonzero()[:, 0]
        if tuple(mask.shape) != shape[1:] or not 0 <= image < shape[0] or not len(inside):
            raise ValueError(
                f"wanted a region of at least one pixel in a mask of {shape[1:]} of one of "
                f"{shape[0]} images, found {len(inside)} pixels in {tuple(mask.shape)} of image "
                f"{image}: leave out empty masks"
            )
        positions.append(inside + image * shape[1] * shape[2])
        sizes.append(len(inside))
        images.append(image)
    count = torch.tensor(sizes, dtype=torch.int64)
    ids = torch.arange(len(sizes), dtype=torch.int32).repeat_interleave(count)
    return Regions(shape, torch.cat(positions), ids, count, torch.tensor(images, dtype=torch.int64))


def mask_shape(masks: Tensor) -> tuple[int, int, int]:
    """Return ``(N, H, W)`` of masks, or raise `ValueError` where they have other dimensions."""
    if masks.ndim != 3:
        raise ValueError(f"wanted masks of shape (N, H, W), found {tuple(masks.shape)}")
    images, height, width = masks.shape
    return images, height, width


def connected_runs(masks: Tensor) -> Runs:
    """Return the runs of ``(N, H, W)`` masks, each with the region it belongs to."""
    _, height, width = mask_shape(masks)
    inside = np.flatnonzero(defective(masks.cpu()).numpy())
    if not len(inside):
        nothing = np.zeros(0, dtype=np.int64)
        return Runs(nothing, nothing, nothing)
    gaps = np.flatnonzero(np.diff(inside) > 1)
    first = inside[np.concatenate(([0], gaps + 1))]
    last = inside[np.concatenate((gaps, [len(inside) - 1]))]
    row, stretch = _spread(first // width, last // width + 1)  # one run may go on in the next row
    start = np.maximum(first[stretch], row * width)
    length = np.minimum(last[stretch] + 1, (row + 1) * width) - start
    return Runs(start, length, _connect(row, start - row * width, length, height, width))


def assemble(shape: tuple[int, int, int], runs: Runs) -> Regions:
    """Return the regions that runs make up, pixel by pixel."""
    sizes = np.zeros(runs.region.max(initial=-1) + 1, dtype=np.int64)
    images = np.zeros_like(sizes)
    np.add.at(sizes, runs.region, runs.length)
    images[runs.region] = runs.start // max(shape[1] * shape[2], 1)
    positions, _ = _spread(runs.start, runs.start + runs.length)
    return Regions(
        shape,
        torch.from_numpy(positions),
        torch.from_numpy(np.repeat(runs.region.astype(np.int32), runs.length)),
        torch.from_numpy(sizes),
        torch.from_numpy(images),
    )


def _connect(
    row: Integers, column: Integers, length: Integers, height: int, width: int
) -> Integers:
    """Return the component of each run; runs are in reading order, rows count over all images."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    # One empty column and, between images, one empty row: then a run can touch only runs of the
    # next row of its own image, all of which lie between two flat positions.
    stride = width + 1
    start = (row + row // height) * stride + column
    end = start + length
    below, above = _spread(
        np.searchsorted(end, start + stride, side="left"),
        np.searchsorted(start, end + stride, side="right"),
    )
    touching = coo_array((np.ones(len(below), bool), (above, below)), shape=(len(row), len(row)))
    _, component = connected_components(touching, directed=False)
    _, first, component = np.unique(component, return_index=True, return_inverse=True)
    number: Integers = first.argsort().argsort()  # components by their first run
    return number[component]


def _spread(start: Integers, end: Integers) -> tuple[Integers, Integers]:
    """Return all integers of the ranges, one range after another, and the range of each."""
    length = end - start
    source = np.repeat(np.arange(len(start)), length)
    before = np.cumsum(length) - length
    return np.arange(len(source)) + np.repeat(start - before, length), source
