"""Overlapping tiles of large frames, and how their results are merged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from datasets_lib.batches.image_set import ImageSet

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Tiles:
    """A grid of tiles of one size; neighbors share some rows or columns of pixels.

    >>> Tiles(2, 3, overlap=32, height=256, width=256).frame
    (480, 704)

    Attributes:
        rows: Number of rows of tiles.
        columns: Number of columns of tiles.
        overlap: Rows or columns of pixels that neighbors share, at most half of a side.
        height: Height of a tile in pixels.
        width: Width of a tile in pixels.
    """

    rows: int
    columns: int
    overlap: int
    height: int
    width: int

    @property
    def frame(self) -> tuple[int, int]:
        """Return height and width of the whole frame in pixels."""
        top, left = self.corners[-1]
        return top + self.height, left + self.width

    @property
    def corners(self) -> list[tuple[int, int]]:
        """Return the first row and column of each tile, row by row."""
        down, right = self.height - self.overlap, self.width - self.overlap
        return [(r * down, c * right) for r in range(self.rows) for c in range(self.columns)]

    def cut(self, frames: Tensor) -> Tensor:
        """Return the tiles ``(N T, 3, h, w)`` of frames ``(N, 3, H, W)``, frame by frame.

        They are channels-last in memory.
        """
        return self._cut(frames.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def cut_masks(self, masks: Tensor) -> Tensor:
        """Return the tiles ``(N T, h, w)`` of masks ``(N, H, W)``, frame by frame."""
        return self._cut(masks)

    def image_set(self, frames: ImageSet) -> ImageSet:
        """Return every tile as a separate image with its frame's name.

        A tile is defective where its mask shows a defect; in a set without masks, where its frame
        is.
        """
        count = len(self.corners)
        masks = None if frames.masks is None else self.cut_masks(frames.masks)
        labels = frames.labels.repeat_interleave(count)
        if masks is not None:
            labels = labels & masks.flatten(1).any(1).to(labels.device)
        kinds = [kind for kind in frames.defects for _ in range(count)]
        return replace(
            frames,
            images=self.cut(frames.images),
            labels=labels,
            masks=masks,
            names=tuple(name for name in frames.names for _ in range(count)),
            defects=tuple(
                kind if label else None for kind, label in zip(kinds, labels.tolist(), strict=True)
            ),
        )

    def merge(self, maps: Tensor) -> Tensor:
        """Return the maps ``(N, H, W)`` of frames from those ``(N T, h, w)`` of their tiles.

        Where tiles overlap, the weight of each falls toward its edge: seams are blended linearly.
        """
        import torch

        tiles = maps.reshape(-1, len(self.corners), self.height, self.width)
        weight = _ramp(self.height, self.overlap)[:, None] * _ramp(self.width, self.overlap)
        weight = weight.to(maps)
        merged = maps.new_zeros(len(tiles), *self.frame)
        total = maps.new_zeros(self.frame)
        for number, (top, left) in enumerate(self.corners):
            rows, columns = slice(top, top + self.height), slice(left, left + self.width)
            merged[:, rows, columns] += weight * tiles[:, number]
            total[rows, columns] += weight
        return torch.div(merged, total, out=merged)

    def merge_scores(self, scores: Tensor) -> Tensor:
        """Return the scores ``(N,)`` of frames: the highest of their tiles' ``(N T,)``."""
        best: Tensor = scores.reshape(-1, len(self.corners)).amax(1)
        return best

    def _cut(self, pixels: Tensor) -> Tensor:
        """Return the tiles of ``(N, H, W, …)``, contiguous."""
        import torch

        parts = [
            pixels[:, top : top + self.height, left : left + self.width]
            for top, left in self.corners
        ]
        return torch.stack(parts, dim=1).flatten(0, 1)


def _ramp(side: int, overlap: int) -> Tensor:
    """Return weights ``(side,)`` that fall linearly over the overlap at both ends.

    Two neighbors' weights add up to one at every pixel that they share.
    """
    import torch

    place = torch.arange(1, side + 1, dtype=torch.float32)
    return torch.minimum(place, place.flip(0)).div(overlap + 1).clamp(max=1)
