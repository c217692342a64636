"""What this machine offers a session, without importing torch: device, versions, folders."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.environment import cuda_present, default_precision

_PROBE = """
import json, torch
from bench.environment import environment
device = {"torch_cuda": torch.version.cuda, "available": torch.cuda.is_available()}
if device["available"]:
    torch.ones(8, device="cuda").sum().item()
    free, total = torch.cuda.mem_get_info()
    device |= environment("cuda")
    device |= {"bf16": torch.cuda.is_bf16_supported(), "free": free, "total": total}
    device |= {"count": torch.cuda.device_count()}
print(json.dumps(device))
"""
_PROBE_SECONDS = 120


def versions() -> str:
    """Return ``Python 3.11.7, torch 2.14.1, …``, with ``missing`` for packages not installed."""
    return ", ".join(
        [
            f"Python {sys.version.partition(' ')[0]}",
            *map(_version, ("torch", "torchvision", "timm")),
        ]
    )


def device_lines() -> Iterator[str]:
    """Yield the device that a session would use, and what is wrong with it.

    CUDA is tried in a child process, so that this one never initializes it.
    """
    if not cuda_present():
        yield f"CPU (no CUDA device is visible), trains in {default_precision('cpu')}"
        return
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        yield (
            f"PROBLEM: the driver shows a CUDA device, but it did not answer within "
            f"{_PROBE_SECONDS} s. Check nvidia-smi and the kernel log, restart the machine, or use "
            "--device cpu."
        )
        return
    last = (done.stdout.strip().splitlines() or [""])[-1]
    reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    if done.returncode or not last.startswith("{"):
        yield f"PROBLEM: the driver shows a CUDA device, but using it failed: {reason}"
        return
    probe = json.loads(last)
    if not probe["available"]:
        built = f"for CUDA {probe['torch_cuda']}" if probe["torch_cuda"] else "without CUDA"
        yield (
            f"PROBLEM: the driver shows a CUDA device, but torch, built {built}, cannot use it "
            f"({reason}). Install the torch build for this driver (pytorch.org, get started), "
            "update the driver, or use --device cpu."
        )
        return
    yield (
        f"CUDA: {probe['count']} × {probe['gpu']}, {probe['free'] / 2**30:.0f} of "
        f"{probe['total'] / 2**30:.0f} GiB free, driver {probe['driver']}, CUDA {probe['cuda']}, "
        f"bf16 {'yes' if probe['bf16'] else 'no'}"
    )


def writable(folder: Path) -> bool:
    """Return whether a folder is writable, or can be created."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} missing"
