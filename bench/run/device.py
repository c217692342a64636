"""The device a case runs on: that it is there, how it computes, and whether it is ours alone."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from bench.run.malloc import disable_trim


class DeviceError(Exception):
    """The device asked for is not there."""


def use_device(name: str) -> torch.device:
    """Make a device the current one, with float32 that is float32; ``cuda`` is the first one.

    On a CPU, memory that steps free is kept for the next.

    TF32 is switched off: evaluation is promised in float32, and training on CUDA is bf16 anyway.

    Raises:
        DeviceError: There is no such device.
    """
    device = torch.device(name)
    if device.type != "cuda":
        disable_trim()
        return device
    # Numbered, as tensors tell their device: "cuda" equals none of theirs, nor can it be set.
    device = torch.device("cuda", device.index or 0)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.index >= count:
        raise DeviceError(
            f"The device {name} was asked for (or a CUDA driver was found), but torch "
            f"{torch.__version__} sees {count} CUDA devices. Check nvidia-smi and "
            "CUDA_VISIBLE_DEVICES, or run with --device cpu."
        )
    torch.cuda.set_device(device)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return device


def numerics(device: torch.device) -> dict[str, Any]:
    """Settings that move the last digits, for the record."""
    if device.type != "cuda":
        return {}
    return {
        "tf32": torch.backends.cudnn.allow_tf32,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
    }


@contextmanager
def exclusive_use(name: str) -> Iterator[bool]:
    """Whether no other case of this harness runs on the device meanwhile; marked, never waited for.

    Yields:
        True where this process is the only one.
    """
    device = torch.device(name)
    label = "cpu"
    if device.type == "cuda" and torch.cuda.is_available():
        index = min(device.index or 0, torch.cuda.device_count() - 1)
        label = str(torch.cuda.get_device_properties(index).uuid)
    lock = FileLock(Path(tempfile.gettempdir()) / f"proving-ground-{label}.lock", timeout=0)
    try:
        lock.acquire()
    except (Timeout, OSError):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
