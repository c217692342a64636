"""Peak memory, measured in a separate loop and never while timing."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.run.malloc import trim

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


@dataclass
class HostMemory:
    """Resident memory of this process, filled in when the block ends.

    Attributes:
        before_bytes: Resident memory when the block began, interpreter and libraries included.
        peak_bytes: Peak of the resident memory; None where the system does not report it.
        since_reset: Whether the peak covers the block alone, not the whole life of the process.
    """

    before_bytes: int | None = None
    peak_bytes: int | None = None
    since_reset: bool = False


@dataclass(frozen=True)
class PeakMemory:
    """Peak memory of a loop.

    Attributes:
        host: Resident memory of this process.
        device_bytes: Peak of what torch allocated on the CUDA device; None on other devices.
    """

    host: HostMemory
    device_bytes: int | None


def measure_memory(step: Callable[[], object], device: torch.device, rounds: int = 3) -> PeakMemory:
    """Run a step a few times and return the peaks.

    An unmeasured round comes first, which may allocate lasting buffers or try out kernels.
    """
    step()
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    with peak_host_memory() as host:
        for _ in range(rounds):
            step()
        if cuda:
            torch.cuda.synchronize(device)
    return PeakMemory(host, torch.cuda.max_memory_allocated(device) if cuda else None)


@contextmanager
def peak_host_memory() -> Iterator[HostMemory]:
    """Measure the peak resident memory of a block.

    Linux keeps a high-water mark (VmHWM) that can be reset. Where that is not allowed, or on
    another system, the peak of the whole process is reported and ``since_reset`` is false.
    """
    trim()
    memory = HostMemory(before_bytes=_status("VmRSS"), since_reset=_reset_high_water_mark())
    try:
        yield memory
    finally:
        memory.peak_bytes = _status("VmHWM") or _lifetime_peak()


def _reset_high_water_mark() -> bool:
    if not _CLEAR_REFS.exists():
        return False
    before = _status("VmHWM")
    try:
        _CLEAR_REFS.write_text("5")
    except OSError:
        return False
    # Some sandboxes accept the write and ignore it.
    after, resident = _status("VmHWM"), _status("VmRSS")
    if before is None or after is None or resident is None:
        return False
    return after < before or after <= resident * 1.01


def _status(name: str) -> int | None:
    """Return a field of this process's status, in bytes."""
    if not _STATUS.is_file():
        return None
    found = re.search(rf"^{name}:\s+(\d+) kB$", _STATUS.read_text(), re.M)
    return int(found.group(1)) * 1024 if found else None


def _lifetime_peak() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
