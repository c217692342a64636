"""A split of a classification set as a case uses it: labels and batches on the device."""

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
        batches: Yields uint8 images on the device, from memory or read ahead from a file.
        labels: ``(N,)`` int64, on the device.
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
        """Return the first images, ``(n, 3, S, S)`` uint8, with n at most ``count``."""
        images, _ = next(iter(self.batches(torch.arange(min(count, len(self))), count)))
        return images

    def placement(self, batch: int) -> str:
        """Return where the images are, in words for a record.

        Args:
            batch: Largest batch.
        """
        if isinstance(self.batches, StreamedBatches):
            threads = f"{self.batches.workers} thread{'s' * (self.batches.workers > 1)}"
            max_bytes = self.batches.host_bytes(min(batch, len(self)))
            return f"streamed from the cache by {threads}, at most {max_bytes:,} bytes on the host"
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
    """Return a split on a device: resident if it fits, else streamed from the decode cache.

    Args:
        split: The split to read.
        size: Height and width in pixels.
        cache: Cache of decoded images.
        device: Device of the batches.
        progress: Called with the number of images read and the number of all images.
        workers: Number of threads that read a streamed split.
        limit_bytes: Maximum size of resident images; None means whatever fits.

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
