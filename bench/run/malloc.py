"""Settings of glibc's malloc that keep freed memory for the next training step on a CPU.

By default glibc returns every large tensor to the system when it is freed, and the kernel faults in
and clears the next one page by page: 341,000 page faults in a float32 training step of STFPM on
ResNet18 (batch 32, 256 px). Keeping the memory makes that step 1.10 s instead of 1.48 s on two
cores (bench/perf/freed_memory.py).
"""

import ctypes
from functools import cache
from typing import Any

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt(3)
_LARGEST = (1 << 31) - 1


def disable_trim() -> bool:
    """Keep up to 2 GB of freed memory from now on; return whether the C library supports that."""
    libc = _glibc()
    if libc is None:
        return False
    return bool(libc.mallopt(_MMAP_MAX, 0) and libc.mallopt(_TRIM_THRESHOLD, _LARGEST))


def trim() -> None:
    """Return freed memory to the system, so that memory can be measured."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


@cache
def _glibc() -> Any:
    """Return glibc, or None on systems with another C library."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
    except OSError:
        return None
