"""A split of a classification set as a case uses it: batches on the device, labels beside them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from datasets_lib.batches.labeled import mapped_images
from datasets_lib.batches.streaming import Batches, StreamedBatches, choose
from datasets_lib.cache.build import Progress
from datasets_lib.cache.decode_cache import DecodeCache
from datasets_lib.layouts.classification import Labeled


@dataclass(frozen=True, eq=False)
class LabeledSplit:
    """Images and labels of a split.

    Attributes:
        batches: Gives uint8 images on the device, from memory or read ahead from a file.
        labels: int64 (N,), on the device.
        classes: Names of the classes.
        names: Names of the images.
    """

    batches: Batches
    labels: Tensor
    classes: tuple[str, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def images(self, count: int) -> Tensor:
        """uint8 (n, 3, S, S): the first images, at most so many."""
        images, _ = next(iter(self.batches(torch.arange(min(count, len(self))), count)))
        return images

    def held(self, batch: int) -> str:
        """How the images are held, in words for a record.

        Args:
            batch: Images in the largest batch taken.
        """
        if isinstance(self.batches, StreamedBatches):
            threads = f"{self.batches.workers} thread{'s' * (self.batches.workers > 1)}"
            most = self.batches.host_bytes(min(batch, len(self)))
            return f"streamed from the cache by {threads}, at most {most:,} bytes on the host"
        return "resident on the device"


def load_split(
    split: Labeled,
    size: int,
    cache: DecodeCache,
    device: torch.device,
    progress: Progress | None = None,
    *,
    workers: int = 2,
    limit_bytes: int | None = None,
) -> LabeledSplit:
    """A split on a device: resident where it fits, else streamed from the decode cache.

    Args:
        split: What to read.
        size: Height and width in pixels.
        cache: Where decoded files are and go.
        device: Where batches go.
        progress: Called with images done and in all.
        workers: Threads that read what is streamed.
        limit_bytes: The most that resident images may take; None for no limit but what fits.

    Raises:
        DatasetError: A file cannot be used, or the cache cannot be written.
    """
    images = mapped_images(split, size, cache, progress)
    return LabeledSplit(
        batches=choose(images, device, workers=workers, limit_bytes=limit_bytes),
        labels=torch.tensor(split.labels, dtype=torch.int64).to(device),
        classes=split.classes,
        names=split.names,
    )
