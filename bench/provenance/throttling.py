"""Whether a processor slowed itself down because it was too hot while a case ran."""

import ctypes
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bench.environment import load_nvml

_CPUS = Path("/sys/devices/system/cpu")
_THERMAL = 1  # NVML_PERF_POLICY_THERMAL

_SHARE = 0.01
"""Share of a run's time above which it counts as throttled; a core may be hot for a moment."""


class ThrottleMeter:
    """Measures for how long heat slowed the processors since its creation.

    On a CPU it reads Linux's counters, which exist for Intel's processors; on a GPU NVIDIA's
    management library. Throttling by a power limit is not counted: under full load it is normal.

    Args:
        device: Name of a torch device, such as ``cpu`` or ``cuda:0``.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._began = time.monotonic()
        self._before = _counters(device)

    def read(self) -> float | None:
        """Return the throttled seconds since the meter's creation; on a CPU, of the worst core.

        None if nothing counts them.
        """
        now = _counters(self._device)
        risen = [now[name] - before for name, before in self._before.items() if name in now]
        return round(max(0.0, *risen), 3) if risen else None

    def throttled(self, seconds: float) -> bool:
        """Return whether this many throttled seconds are enough to slow a case."""
        return seconds > _SHARE * (time.monotonic() - self._began)


def _counters(device: str) -> dict[str, float]:
    """Return for how many seconds heat has slowed a device, by counter, since an unknown time."""
    if device == "cpu":
        return dict(_cpu_counters())
    seconds = _gpu_seconds(device)
    return {} if seconds is None else {device: seconds}


def _cpu_counters() -> Iterator[tuple[str, float]]:
    affinity = getattr(os, "sched_getaffinity", None)
    for core in affinity(0) if affinity else ():
        folder = _CPUS / f"cpu{core}" / "thermal_throttle"
        for scope in ("core", "package"):
            counter = folder / f"{scope}_throttle_total_time_ms"
            with suppress(OSError, ValueError):
                yield str(counter), float(counter.read_text()) / 1000


def _gpu_seconds(device: str) -> float | None:
    library = load_nvml()
    if library is None:
        return None
    handle, violation = ctypes.c_void_p(), (ctypes.c_ulonglong * 2)()  # µs so far, ns of these
    try:
        failed = library.nvmlDeviceGetHandleByUUID(_uuid(device), ctypes.byref(handle))
        failed = failed or library.nvmlDeviceGetViolationStatus(
            handle, ctypes.c_int(_THERMAL), ctypes.byref(violation)
        )
    finally:
        library.nvmlShutdown()
    return None if failed else violation[1] / 1e9


def _uuid(device: str) -> bytes:
    """Return NVML's name of a device, which is the same whatever CUDA_VISIBLE_DEVICES says."""
    import torch

    return f"GPU-{torch.cuda.get_device_properties(device).uuid}".encode()
