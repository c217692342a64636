"""Transfer of one batch from a file to the device, in any thread."""

import math
import mmap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import torch
from torch import Tensor

from datasets_lib.images.decode import UInt8
from datasets_lib.layouts.category import DatasetError

Arrival = tuple[Tensor, "torch.cuda.Event | None"]
"""Images being copied to the device, and the event of their arrival; None if they are there."""


@dataclass(frozen=True)
class RowFile:
    """A file of raw uint8 images (H, W, C), one after the other.

    Attributes:
        file: Path of the file.
        shape: (H, W, C).
        offset: Bytes before the first image.
    """

    file: Path
    shape: tuple[int, int, int]
    offset: int = 0

    @property
    def row_bytes(self) -> int:
        """Size of an image in bytes."""
        return math.prod(self.shape)

    def read(self, index: list[int], into: UInt8) -> None:
        """Read images into the rows (B, row_bytes) of a contiguous array.

        Raises:
            DatasetError: The file is gone or ends before one of the images.
        """
        try:
            with self.file.open("rb", buffering=0) as stream:
                for row, number in zip(into, index, strict=True):
                    stream.seek(self.offset + number * self.row_bytes)
                    if stream.readinto(row.data) != self.row_bytes:
                        raise DatasetError(
                            f"The cached images {self.file} end before image {number}. The file "
                            "was truncated while a case ran; clean the cache and run it again."
                        )
        except OSError as error:
            raise DatasetError(
                f"The cached images {self.file} cannot be read: {error.strerror}. The cache was "
                "cleaned while a case was running; run it again."
            ) from error


def read_on_host(rows: RowFile, index: list[int]) -> Arrival:
    """Read images (B, C, H, W) into new memory, which the loop may keep.

    The memory is mapped from the system, so that dropping the batch returns it: malloc keeps memory
    that one thread took and another freed, up to five times the size of the batches.
    """
    memory = mmap.mmap(-1, len(index) * rows.row_bytes)
    images = torch.frombuffer(memory, dtype=torch.uint8).view(len(index), rows.row_bytes)
    rows.read(index, images.numpy())
    return as_images(images, rows.shape), None


class PinnedBuffers:
    """Pinned host memory for batches; a buffer is reused once its copy to the device is done.

    Args:
        rows: File of the images.
        device: A CUDA device.
        batch: Number of images in the largest batch.
        count: Number of buffers.
    """

    def __init__(self, rows: RowFile, device: torch.device, batch: int, count: int) -> None:
        index = torch.cuda.current_device() if device.index is None else device.index
        self._rows, self._device = rows, torch.device("cuda", index)
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._free: SimpleQueue[tuple[Tensor, torch.cuda.Event | None]] = SimpleQueue()
        whole = torch.empty(count, batch, rows.row_bytes, dtype=torch.uint8, pin_memory=True)
        for buffer in whole:
            self._free.put((buffer, None))

    def read(self, index: list[int]) -> Arrival:
        """Read images (B, C, H, W) and start their copy to the device on a separate stream."""
        torch.cuda.set_device(self._device)  # threads begin on device 0, which others may have
        buffer, copied = self._free.get()
        try:
            if copied is not None:
                copied.synchronize()
            part = buffer[: len(index)]
            self._rows.read(index, part.numpy())
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            with torch.cuda.stream(self._stream):
                images = part.to(self._device, non_blocking=True)
                copied.record(self._stream)
        finally:
            self._free.put((buffer, copied))
        return as_images(images, self._rows.shape), copied


def reader(
    rows: RowFile, device: torch.device, batch: int, buffers: int
) -> Callable[[list[int]], Arrival]:
    """Return the function that reads a batch for this device."""
    if device.type == "cuda":
        return PinnedBuffers(rows, device, batch, buffers).read
    return lambda index: read_on_host(rows, index)


def arrive(arrival: Arrival) -> Tensor:
    """Return the images for work on the current stream; the host does not wait."""
    images, copied = arrival
    if copied is not None:
        current = torch.cuda.current_stream(images.device)
        current.wait_event(copied)
        # Their memory belongs to the copying stream, which must not reuse it before this stream.
        images.record_stream(current)
    return images


def as_images(rows: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """View (B, H · W · C) as (B, C, H, W), channels_last."""
    return rows.view(len(rows), *shape).permute(0, 3, 1, 2)
