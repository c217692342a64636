"""Settings of glibc's malloc that keep freed memory for the next training step on a CPU.

By default glibc returns every large tensor to the system when it is freed, and the kernel faults in
and clears the next one page by page: 341,000 page faults in a float32 training step of STFPM on
ResNet18 (batch 32, 256 px). Keeping the memory makes that step 1.10 s instead of 1.48 s on two
cores (bench/perf/freed_memory.py).
"""

import ctypes
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Barrier
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -3, -4, -8  # of mallopt(3)
_HELD, _ARENAS = 32, 256  # more than the ended threads of a session, and arenas including those
_MAPS, _MAPPED_SIZE = 65536, 1 << 18  # 65536 is the C library's default
_NEVER = -1
_kept = False


def disable_trim() -> bool:
    """Keep freed memory from now on, until `trim`; return whether the C library supports that."""
    global _kept
    libc = _glibc()
    if libc is None:
        return False
    _kept = True
    return bool(libc.mallopt(_MMAP_MAX, 0) and libc.mallopt(_TRIM_THRESHOLD, _NEVER))


@contextmanager
def freed_at_once() -> Iterator[None]:
    """Return large tensors to the system as soon as they are freed, until the block ends.

    Then resident memory is the memory in use. Otherwise it includes holes that earlier cases left
    in the heap and that new tensors do not fill exactly: 50 % more after ten cases.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    libc.mallopt(_MMAP_THRESHOLD, _MAPPED_SIZE)
    libc.mallopt(_MMAP_MAX, _MAPS)
    try:
        yield
    finally:
        libc.mallopt(_MMAP_MAX, 0 if _kept else _MAPS)


@cache
def fresh_thread() -> Executor:
    """Return one thread, the same at every call, that allocates from a heap of its own.

    A new thread gets the heap of one that has ended, with the holes that were left in it: tensors
    allocated there stay resident when freed, up to 50 % more memory. So other threads hold those
    heaps while this one starts.
    """
    executor = ThreadPoolExecutor(1)
    libc = _glibc()
    if libc is None:
        return executor
    libc.mallopt(_ARENA_MAX, _ARENAS)
    begun = Barrier(_HELD + 1)
    with ThreadPoolExecutor(_HELD) as holders:
        for _ in range(_HELD):
            holders.submit(begun.wait)
        executor.submit(begun.wait).result()
    return executor


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
