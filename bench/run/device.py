"""The device of a case: whether it exists, how it computes, and whether others use it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from bench.run.malloc import disable_trim


class DeviceError(Exception):
    """The requested device does not exist."""


def use_device(name: str) -> torch.device:
    """Make a device the current one and switch TF32 off; ``cuda`` means the first one.

    Evaluation must be in float32, and training on CUDA uses bf16 anyway. On a CPU, freed memory is
    kept for the next step.

    Raises:
        DeviceError: The device does not exist.
    """
    device = torch.device(name)
    if device.type != "cuda":
        disable_trim()
        return device
    # With its index, as tensors report it: a plain "cuda" equals none of these and cannot be set.
    device = torch.device("cuda", device.index or 0)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.index >= count:
        raise DeviceError(
            f"The device {name} was requested (or a CUDA driver was found), but torch "
            f"{torch.__version__} sees {count} CUDA devices. Check nvidia-smi and "
            "CUDA_VISIBLE_DEVICES, or run with --device cpu."
        )
    torch.cuda.set_device(device)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return device


@contextmanager
def untuned(rare: bool = True) -> Iterator[None]:
    """Keep cuDNN from trying all its algorithms, for a batch of a size that is rare."""
    tuned = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = tuned and not rare
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = tuned


def numerics(device: torch.device) -> dict[str, Any]:
    """Return the settings that affect the last digits, for the record."""
    if device.type != "cuda":
        return {}
    return {
        "tf32": torch.backends.cudnn.allow_tf32,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
    }


@contextmanager
def exclusive_use(name: str) -> Iterator[bool]:
    """Mark the device as used by this process for the duration of the block.

    Yields:
        Whether no other case of this harness is known to use it; nothing waits for it.
    """
    device = torch.device(name)
    label = "cpu"
    if device.type == "cuda" and torch.cuda.is_available():
        index = min(device.index or 0, torch.cuda.device_count() - 1)
        label = str(torch.cuda.get_device_properties(index).uuid)
    # The file outlives its user: others must be able to open it.
    path = Path(tempfile.gettempdir()) / f"proving-ground-{label}.lock"
    lock = FileLock(path, timeout=0, mode=0o666)
    try:
        lock.acquire()
    except (Timeout, OSError) as error:
        yield not isinstance(error, Timeout)
        return
    try:
        yield True
    finally:
        lock.release()
