"""The C library's heap on a CPU: freed memory is kept for the next step.

glibc gives every large tensor back to the system when it is freed, and the next one is faulted in
page by page, cleared by the kernel: 341,000 faults in a float32 training step of STFPM on ResNet18
(batch 32, 256 px). It takes 1.10 s instead of 1.48 s when the memory is kept, on two cores
(bench/perf/freed_memory.py).
"""

import ctypes
from functools import cache
from typing import Any

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt(3)
_LARGEST = (1 << 31) - 1


def disable_trim() -> bool:
    """Keep it from now on, up to 2 GB that nobody uses; whether the C library can."""
    libc = _glibc()
    if libc is None:
        return False
    return bool(libc.mallopt(_MMAP_MAX, 0) and libc.mallopt(_TRIM_THRESHOLD, _LARGEST))


def trim() -> None:
    """Let the system have what is freed now: before memory is measured."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


@cache
def _glibc() -> Any:
    """The C library, or None on systems with another one."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
    except OSError:
        return None
