"""Images to paste from, or to tell normal ones from: of a texture set, or drawn where none is."""

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
from datasets_lib.layouts.category import Sample
from datasets_lib.layouts.split import limit
from datasets_lib.resolve import resolve_callable

if TYPE_CHECKING:
    from torch import Tensor, device

    from datasets_lib.augment.random_streams import RandomStreams

PROCEDURAL = "procedural"
"""Name of the source that stands in where no texture set is; results show it."""

SYNTHESIZED = 150
"""Textures the stand-in has: thirty of each kind."""

MOST = 6_000
"""Images held of one set, chosen by stable hash: 1.2 GB at 256 px. All 5,640 of DTD."""


@dataclass(frozen=True, eq=False)
class TextureSource:
    """Images in memory, drawn from with replacement.

    Attributes:
        name: Id of the dataset they are of, or `PROCEDURAL`.
        images: uint8 RGB (N, 3, S, S), channels_last in memory.
    """

    name: str
    images: Tensor

    def sample(self, streams: RandomStreams) -> Tensor:
        """One image for each of the draws, uint8 (B, 3, S, S), on the source's device."""
        from datasets_lib.augment.rows import select

        chosen = streams.stream("texture").integers(len(self.images), 1)[:, 0]
        return select(self.images, chosen.to(self.images.device))

    def to(self, device: device | str) -> TextureSource:
        """The same with its images on another device."""
        return replace(self, images=self.images.to(device))


def texture_source(
    found: Mapping[str, FoundDataset],
    size: int,
    cache: DecodeCache,
    wanted: Sequence[str] = ("dtd", "imagenette2"),
    progress: Progress | None = None,
) -> TextureSource:
    """The first texture set that is there, else the procedural stand-in.

    Args:
        found: Datasets on disk, by id.
        size: Height and width in pixels.
        cache: Where decoded images are and go.
        wanted: Ids of texture sets, the preferred one first.
        progress: Called with images done and in all, while decoding.

    Raises:
        DatasetError: A set is there and cannot be used, or the cache cannot be written.
    """
    import torch

    for name in wanted:
        if name in found:
            samples = _samples(found[name])
            images = load(samples, size, cache, has_masks=False, progress=progress).images
            return TextureSource(name, images)
    drawn = torch.from_numpy(synthesize_textures(SYNTHESIZED, size)).permute(0, 3, 1, 2)
    return TextureSource(PROCEDURAL, drawn)


def _samples(dataset: FoundDataset) -> tuple[Sample, ...]:
    read: Callable[[Path], list[Path]] = resolve_callable(dataset.reader)
    files = read(dataset.root)
    return limit([Sample(file.relative_to(dataset.root).as_posix(), file) for file in files], MOST)
