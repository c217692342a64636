"""Batches for a training or evaluation loop: from memory where the data fit, else from a file.

Both sources give the same batches for the same order. The one from a file reads rows with
``readinto`` and not through a map of it: pages of a mapped file count as this process's memory for
as long as the system leaves them there, so that a map has no bound of its own.
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
"""uint8 images (B, C, H, W) on the device, channels_last, and int64 (B,), which they are."""


class Batches(Protocol):
    """Where batches come from."""

    def __call__(self, order: Tensor, batch: int) -> Iterator[Batch]:
        """The images in an order.

        Args:
            order: int64 (n,), indices of images; may repeat some and leave out others.
            batch: Images a batch; the last one may have fewer.
        """


@dataclass(frozen=True, eq=False)
class ResidentBatches:
    """Batches of images that lie on the device whole.

    Attributes:
        images: uint8 (N, C, H, W), channels_last.
    """

    images: Tensor

    def __call__(self, order: Tensor, batch: int) -> Iterator[Batch]:
        """One copy of the order to the device, one gather a batch."""
        for index in _pieces(order.to(self.images.device), batch):
            yield select(self.images, index), index


@dataclass(frozen=True)
class StreamedBatches:
    """Batches read ahead from a file of uint8 images by threads.

    At most ``buffers`` batches are in host memory at a time: those being read or ready and, on the
    CPU, the one that the loop has. On CUDA the buffers are pinned and used again, and copies run on
    a stream of their own beside the loop's work; as many batches are on the device.

    Attributes:
        file: Raw uint8 pixels, one image after the other.
        shape: (N, H, W, C).
        device: Where batches go.
        offset: Bytes before the first image.
        buffers: 2 reads one batch while the loop uses another, 3 evens out slow reads.
        workers: Threads that read.
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
                "Streaming wants at least 2 buffers, one read while the other is used, and a "
                f"worker; found {self.buffers} and {self.workers}."
            )

    def host_bytes(self, batch: int) -> int:
        """The most host memory that batches of so many images take at a time, in bytes."""
        total = self.buffers * batch * math.prod(self.shape[1:])
        # torch takes pinned memory in powers of two.
        return 1 << (total - 1).bit_length() if self.device.type == "cuda" else total

    def __call__(self, order: Tensor, batch: int) -> Iterator[Batch]:
        """Reads ahead as far as the buffers go; closing the iterator ends the threads.

        Raises:
            DatasetError: The file is gone or too short.
            IndexError: The order names an image that is not there.
        """
        count = self.shape[0]
        if len(order) and not 0 <= int(order.min()) <= int(order.max()) < count:
            raise IndexError(
                f"An order of images must name numbers in [0, {count}), found "
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
    """Resident batches if the images take at most a share of the device's free memory.

    On the CPU the host's own memory counts. Images go to the device in pieces, so that the host
    need not hold them whole. Those that are in memory already are resident whatever they take.

    Args:
        images: uint8 (N, H, W, C), mapped from the decode cache, or in memory.
        device: Where batches go.
        share: Of the memory that is free now.
        workers: Threads that read from the file.
        limit_bytes: The most that resident images may take, wherever they are; None for no limit.
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
