"""Batches for a training or evaluation loop: from memory if the data fit, else from a file.

Both sources give the same batches for the same order. The file is read with ``readinto`` instead of
a memory map, because pages of a mapped file count as this process's memory for as long as the
system keeps them, which no setting bounds.
"""

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from datasets_lib.augment.rows import select
from datasets_lib.batches.transfer import Arrival, RowFile, arrive, reader
from datasets_lib.free_memory import free_bytes
from datasets_lib.images.decode import UInt8

Batch = tuple[Tensor, Tensor]
"""uint8 images (B, C, H, W) on the device, channels_last, and their indices, int64 (B,)."""


class Batches(Protocol):
    """A source of batches."""

    def __call__(self, order: Tensor, batch: int) -> Iterator[Batch]:
        """Iterate over the images in an order.

        Args:
            order: int64 (n,), indices of images; may repeat some and omit others.
            batch: Images per batch; the last batch may have fewer.
        """


@dataclass(frozen=True, eq=False)
class ResidentBatches:
    """Batches of images that are all on the device.

    Attributes:
        images: uint8 (N, C, H, W), channels_last.
    """

    images: Tensor

    def __call__(self, order: Tensor, batch: int) -> Iterator[Batch]:
        """Copy the order to the device once, then gather each batch."""
        for index in _pieces(order.to(self.images.device), batch):
            yield select(self.images, index), index


@dataclass(frozen=True)
class StreamedBatches:
    """Batches that threads read ahead from a file of uint8 images.

    Host memory holds at most ``buffers`` batches: those being read or ready and, on the CPU, the
    batch that the loop uses. On CUDA the buffers are pinned and reused, copies run on a separate
    stream, and the device holds the same number of batches.

    Attributes:
        file: File of raw uint8 pixels, one image after the other.
        shape: (N, H, W, C).
        device: Device of the batches.
        offset: Bytes before the first image.
        buffers: Number of batches in flight; 2 overlaps reading with the loop, 3 also evens out
            slow reads.
        workers: Number of reading threads.
    """

    file: Path
    shape: tuple[int, int, int, int]
    device: torch.device
    offset: int = 0
    buffers: int = 3
    workers: int = 2

    def __post_init__(self) -> None:
        if self.buffers < 2 or self.workers < 1:
            raise ValueError(
                "Streaming needs at least 2 buffers, one read while the other is used, and a "
                f"worker; found {self.buffers} and {self.workers}."
            )

    def host_bytes(self, batch: int) -> int:
        """Return the maximum host memory that batches of this size take at a time, in bytes."""
        total = self.buffers * batch * math.prod(self.shape[1:])
        # torch allocates pinned memory in powers of two.
        return 1 << (total - 1).bit_length() if self.device.type == "cuda" else total

    def __call__(self, order: Tensor, batch: int) -> Iterator[Batch]:
        """Read ahead as far as the buffers allow; closing the iterator ends the threads.

        Raises:
            DatasetError: The file is gone or too short.
            IndexError: The order has an index outside of the file.
        """
        count = self.shape[0]
        if len(order) and not 0 <= int(order.min()) <= int(order.max()) < count:
            raise IndexError(
                f"An order of images needs indices in [0, {count}), found "
                f"{int(order.min())} to {int(order.max())}. Draw it for the set's own size."
            )
        waiting = deque(_pieces(order.cpu(), batch))
        running: deque[Future[Arrival]] = deque()
        rows = RowFile(self.file, self.shape[1:], self.offset)
        read = reader(rows, self.device, batch, self.buffers)
        with ThreadPoolExecutor(self.workers, "stream") as pool:
            try:
                for index in _pieces(order.to(self.device), batch):
                    while waiting and len(running) < self.buffers - 1:
                        running.append(pool.submit(read, waiting.popleft().tolist()))
                    yield arrive(running.popleft().result()), index
            finally:
                for future in running:
                    future.cancel()


def choose(
    images: UInt8,
    device: torch.device,
    share: float = 0.5,
    *,
    workers: int = 2,
    limit_bytes: int | None = None,
) -> Batches:
    """Return resident batches if the images fit in a share of the device's free memory.

    On the CPU the host's memory counts. Images move to the device in pieces, so that the host never
    holds all of them. Images that are in memory already are always resident.

    Args:
        images: uint8 (N, H, W, C), mapped from the decode cache, or in memory.
        device: Device of the batches.
        share: Share of the free memory that resident images may take.
        workers: Number of threads that read from the file.
        limit_bytes: Maximum size of resident images; None for no limit.
    """
    if not isinstance(images, np.memmap) or images.filename is None:
        return ResidentBatches(torch.from_numpy(images).permute(0, 3, 1, 2).to(device))
    count, height, width, channels = images.shape
    shape = count, height, width, channels
    streamed = StreamedBatches(Path(images.filename), shape, device, images.offset, workers=workers)
    if limit_bytes is not None and images.nbytes > limit_bytes:
        return streamed
    if images.nbytes > share * free_bytes(device):
        return streamed
    resident = torch.empty(shape, dtype=torch.uint8, device=device).permute(0, 3, 1, 2)
    piece = max(1, (16 << 20) // (height * width * channels))
    start = 0
    for part, index in streamed(torch.arange(count), piece):
        resident[start : start + len(index)] = part
        start += len(index)
    return ResidentBatches(resident)


def _pieces(order: Tensor, batch: int) -> list[Tensor]:
    return [order[start : start + batch] for start in range(0, len(order), batch)]
