"""Texture images for synthetic defects: from a texture set, or procedural if there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from datasets_lib.batches.image_set import load
from datasets_lib.batches.texture_synthesis import synthesize_textures
from datasets_lib.cache.build import Progress
from datasets_lib.cache.decode_cache import DecodeCache
from datasets_lib.discover import FoundDataset
from datasets_lib.images.geometry import Size, as_geometry
from datasets_lib.layouts.category import Sample
from datasets_lib.layouts.split import limit
from datasets_lib.resolve import resolve_callable

if TYPE_CHECKING:
    from torch import Tensor, device

    from datasets_lib.augment.random_streams import RandomStreams

PROCEDURAL = "procedural"
"""Name of the procedural source in results."""

SYNTHESIZED = 150
"""Number of procedural textures: thirty of each kind."""

MAX_TEXTURES = 6_000
"""Maximum number of images of a set, chosen by stable hash: 1.2 GB at 256 px. DTD has 5,640."""


@dataclass(frozen=True, eq=False)
class TextureSource:
    """Images in memory, sampled with replacement.

    Attributes:
        name: Id of their dataset, or `PROCEDURAL`.
        images: uint8 RGB (N, 3, H, W), channels_last in memory.
    """

    name: str
    images: Tensor

    def sample(self, streams: RandomStreams) -> Tensor:
        """Return one image per sample, uint8 (B, 3, S, S), on the source's device."""
        from datasets_lib.augment.rows import select

        chosen = streams.fold_in("texture").integers(len(self.images), 1)[:, 0]
        return select(self.images, chosen.to(self.images.device))

    def to(self, device: device | str) -> TextureSource:
        """Return a copy with the images on another device."""
        return replace(self, images=self.images.to(device))


def texture_source(
    datasets: Mapping[str, FoundDataset],
    size: Size,
    cache: DecodeCache,
    wanted: Sequence[str] = ("dtd", "imagenette2"),
    progress: Progress | None = None,
) -> TextureSource:
    """Return the first texture set on disk, or the procedural textures if there is none.

    Args:
        datasets: Datasets on disk, by id.
        size: Side in pixels, or a geometry.
        cache: Cache of decoded images.
        wanted: Ids of texture sets in order of preference.
        progress: Callback with the images decoded so far and their total.

    Raises:
        DatasetError: A set exists but cannot be used, or the cache cannot be written.
    """
    import numpy as np
    import torch

    for name in wanted:
        if name in datasets:
            samples = texture_samples(datasets[name])
            images = load(samples, size, cache, has_masks=False, progress=progress).images
            return TextureSource(name, images)
    height, width = as_geometry(size).size
    square = synthesize_textures(SYNTHESIZED, max(height, width))
    drawn = torch.from_numpy(np.ascontiguousarray(square[:, :height, :width])).permute(0, 3, 1, 2)
    return TextureSource(PROCEDURAL, drawn)


def texture_samples(dataset: FoundDataset) -> tuple[Sample, ...]:
    """Return the images of a set, at most `MAX_TEXTURES`, with their names below its folder."""
    read: Callable[[Path], list[Path]] = resolve_callable(dataset.reader)
    files = read(dataset.root)
    return limit(
        [Sample(file.relative_to(dataset.root).as_posix(), file) for file in files], MAX_TEXTURES
    )
