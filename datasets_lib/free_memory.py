"""Free memory of a device or of the host."""

from pathlib import Path

import torch


def free_bytes(device: torch.device) -> int:
    """Return the bytes free on a CUDA device, else on the host without swapping; 0 if unknown.

    Memory that torch's caching allocator reserves but does not use counts as free, and on the host
    the limit of a container (cgroup v2) applies.
    """
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return 0
    fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    free = int(fields["MemAvailable"].split()[0]) * 1024
    limit, used = _of_container("memory.max"), _of_container("memory.current")
    if limit is None or used is None:
        return free
    return min(free, limit - used + _reclaimable())


def _reclaimable() -> int:
    """Return the bytes of cached files that the container gives up on demand."""
    try:
        lines = (Path("/sys/fs/cgroup") / "memory.stat").read_text().splitlines()
        return int(dict(line.split() for line in lines).get("inactive_file", 0))
    except (OSError, ValueError):
        return 0


def _of_container(name: str) -> int | None:
    """Return a number of this process's container; None without a container or a limit."""
    try:
        return int((Path("/sys/fs/cgroup") / name).read_text())
    except (OSError, ValueError):
        return None
