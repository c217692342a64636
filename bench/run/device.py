"""The device of a case: whether it exists, how it computes, and whether others use it."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from bench.environment import visible_devices
from bench.run.malloc import disable_trim

_LOCKS = 8
"""Maximum number of cases on one device that can see each other, whatever number runs there."""


class DeviceError(Exception):
    """Torch does not have the requested device, though the driver shows it."""


class DeviceMissingError(DeviceError):
    """The requested device does not exist, or is hidden from this process."""


def use_device(name: str) -> torch.device:
    """Make a device the current one and switch TF32 off; ``cuda`` means the first one.

    Evaluation must be in float32, and training on CUDA uses bf16 anyway. On a CPU, freed memory is
    kept for the next step.

    Raises:
        DeviceError: The driver shows the device, and torch does not have it.
        DeviceMissingError: The driver does not show it either.
    """
    device = torch.device(name)
    if device.type != "cuda":
        disable_trim()
        return device
    # With its index, as tensors report it: a plain "cuda" equals none of these and cannot be set.
    device = torch.device("cuda", device.index or 0)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.index >= count:
        shown = visible_devices()
        raise (DeviceError if device.index < shown else DeviceMissingError)(
            f"The device {name} was requested (or a CUDA driver was found), but torch "
            f"{torch.__version__} sees {count} CUDA devices and the driver shows {shown}. Check "
            "nvidia-smi and CUDA_VISIBLE_DEVICES, or run with --device cpu."
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
def exclusive_use(name: str) -> Iterator[Callable[[], bool]]:
    """Mark the device as used by this process for the duration of the block; nothing waits for it.

    Each case holds one of several locks, by which cases that begin later see it, and adds a byte to
    a file, by which those that began earlier do.

    Yields:
        A function that returns whether no other case of this harness is known to have used the
        device since the block was entered.
    """
    base = f"{tempfile.gettempdir()}/proving-ground-{_label(name)}"
    # The files outlive their users: others must be able to open them.
    locks = [FileLock(f"{base}.{n}.lock", timeout=0, mode=0o666) for n in range(_LOCKS)]
    own = next((lock for lock in locks if not _is_held(lock)), None)
    try:
        entries = _enter(Path(f"{base}.entries"))
        begin = entries()
        others = [lock for lock in locks if lock is not own]
        met = own is None or any(map(_is_held, others))
        for lock in others:
            lock.release()
        yield lambda: not met and entries() == begin
    finally:
        if own is not None:
            own.release()


def _label(name: str) -> str:
    """Return a name of a device that all processes share, whatever number they give it."""
    device = torch.device(name)
    if device.type != "cuda" or not torch.cuda.is_available():
        return "cpu"
    index = min(device.index or 0, torch.cuda.device_count() - 1)
    return str(torch.cuda.get_device_properties(index).uuid)


def _is_held(lock: FileLock) -> bool:
    """Return whether another process holds a lock; acquire it if not."""
    try:
        lock.acquire()
    except Timeout:
        return True
    except OSError:  # a file of another user, perhaps: nothing is known
        pass
    return False


def _enter(path: Path) -> Callable[[], int]:
    """Count a case in a file; return a function that reads the count, 0 where there is none."""

    def entries() -> int:
        try:
            return path.stat().st_size
        except OSError:
            return 0

    with suppress(OSError):
        with path.open("ab") as file:
            file.write(b".")
        path.chmod(0o666)
    return entries
