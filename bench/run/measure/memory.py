"""Memory that a loop takes, measured in a separate loop and never while timing; room for more."""

import gc
import math
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from bench.run.malloc import freed_at_once, fresh_thread, trim
from bench.threads import end_team
from datasets_lib.free_memory import free_bytes

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_UNSTEADY, _PATIENCE = 2, 8  # first calls, and how many limits may pass before a third


@dataclass
class HostMemory:
    """Resident memory of this process, filled in when the block ends.

    Attributes:
        before_bytes: Resident memory when the block began, interpreter and libraries included.
        peak_bytes: Peak of the resident memory; None where the system does not report it.
        since_reset: Whether the peak covers the block alone, not the whole life of the process.
        mapped_bytes: Growth of the part that is mapped from files: libraries, cached features.
    """

    before_bytes: int | None = None
    peak_bytes: int | None = None
    since_reset: bool = False
    mapped_bytes: int = 0

    @property
    def rise_bytes(self) -> int | None:
        """Return the memory that the block added, without files mapped in the meantime.

        None where only the peak of the whole process is known.
        """
        if not self.since_reset or self.before_bytes is None or self.peak_bytes is None:
            return None
        return max(0, self.peak_bytes - self.before_bytes - self.mapped_bytes)


@dataclass
class MemoryRise:
    """The memory that a block adds to what was there when it began, filled in when it ends.

    It does not depend on what else is kept in memory, such as cached features of other cases.

    Attributes:
        host_bytes: Rise of the process's resident memory; None where it is not known.
        device_bytes: Rise of what torch allocated on the CUDA device; None on other devices.
        seconds: Duration of the block.
        steady: Whether the block had run often enough before for lasting buffers to be in place.
    """

    host_bytes: int | None = None
    device_bytes: int | None = None
    seconds: float = 0.0
    steady: bool = True


def measure_memory(
    step: Callable[[], object],
    device: torch.device,
    *,
    prepare: Callable[[], object] = lambda: None,
    repeats: int = 5,
    limit_s: float = math.inf,
) -> MemoryRise:
    """Return the rise of memory while a step runs, the median of some repeats.

    The first two calls may allocate lasting buffers, or free those of other cases: they are off by
    up to a fifth either way, and count only if there is no time for a third. Calls here are slower
    than usual, because freed memory goes back to the system.

    Args:
        step: The measured call.
        device: Where it computes.
        prepare: Called before each baseline is taken.
        repeats: Maximum number of calls. On CUDA, where torch counts exactly, a single call follows
            one that is not measured.
        limit_s: Seconds after which no call begins; eight times as many for the third.
    """
    begin = time.monotonic()

    def repeat() -> list[MemoryRise]:
        rises: list[MemoryRise] = []
        while len(rises) < repeats:
            limit = limit_s * (_PATIENCE if len(rises) <= _UNSTEADY else 1)
            if rises and time.monotonic() - begin >= limit:
                break
            prepare()
            with memory_rise(device) as rise:
                step()
            rises.append(rise)
        return rises

    if device.type == "cuda":
        prepare()
        step()
        repeats = 1
        return repeat()[0]
    with freed_at_once():
        thread = fresh_thread()
        try:
            rises = thread.submit(repeat).result()
        finally:
            thread.submit(end_team).result()
    if len(rises) <= _UNSTEADY:
        return replace(rises[-1], steady=False)
    steady = sorted(rises[_UNSTEADY:], key=lambda rise: rise.host_bytes or 0)
    return steady[len(steady) // 2]


@contextmanager
def memory_rise(device: torch.device) -> Iterator[MemoryRise]:
    """Measure the rise of memory within a block."""
    gc.collect()  # garbage of earlier cases, freed in the block, would hide a part of the rise
    rise = MemoryRise()
    before = 0
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    with peak_host_memory() as host:
        begin = time.monotonic()
        yield rise
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            rise.device_bytes = torch.cuda.max_memory_allocated(device) - before
        rise.seconds = time.monotonic() - begin
    rise.host_bytes = host.rise_bytes


def make_room() -> None:
    """Return freed memory to the system if this process holds more than is free.

    Large batches of prediction hardly fit the holes that training and earlier batches leave: with
    DRAEM at 256 px, 13 GB after training grew to 21 GB within 500 images.
    """
    held = _status("VmRSS")
    if held is not None and held > free_bytes(torch.device("cpu")):
        trim()


@contextmanager
def peak_host_memory() -> Iterator[HostMemory]:
    """Measure the peak resident memory of a block.

    Linux keeps a high-water mark (VmHWM) that can be reset. Where that is not allowed, or on
    another system, the peak of the whole process is reported and ``since_reset`` is false.
    """
    trim()
    mapped = _mapped()
    memory = HostMemory(before_bytes=_status("VmRSS"), since_reset=_reset_high_water_mark())
    try:
        yield memory
    finally:
        memory.peak_bytes = _status("VmHWM") or _lifetime_peak()
        memory.mapped_bytes = _mapped() - mapped


def _mapped() -> int:
    """Return the resident bytes that are mapped from files; 0 where they are not reported."""
    return _status("RssFile") or 0


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
