"""Bytes as people read them, and what a folder takes."""

import os
from pathlib import Path


def megabytes(count: int) -> str:
    """``4.9 GB``, ``161 MB``, ``0.3 MB``, in powers of ten as publishers state them."""
    if count >= 10**9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.0f} MB" if count >= 10**7 else f"{count / 1e6:.1f} MB"


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder; 0 where there is none, files that vanish left out."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 - walks many
            except OSError:
                continue
    return total


def free_bytes(folder: Path) -> int:
    """Bytes free where a folder is or would be made."""
    import shutil

    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(existing).free
