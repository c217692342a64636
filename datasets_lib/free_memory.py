"""How much memory can be had."""

from pathlib import Path

import torch


def free_bytes(device: torch.device) -> int:
    """Bytes free on a CUDA device, else on the host without swapping; 0 where nothing tells.

    What torch keeps of a CUDA device's memory to use again is free.
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
    """Bytes of files that the container's memory holds only while nothing else wants it."""
    try:
        lines = (Path("/sys/fs/cgroup") / "memory.stat").read_text().splitlines()
        return int(dict(line.split() for line in lines).get("inactive_file", 0))
    except (OSError, ValueError):
        return 0


def _of_container(name: str) -> int | None:
    """A figure of this process's container; None where there is none or it has no limit."""
    try:
        return int((Path("/sys/fs/cgroup") / name).read_text())
    except (OSError, ValueError):
        return None
