"""Saving tensors so that a file is whole or not there."""

import errno
import os
from pathlib import Path
from typing import Any

import torch


def save_tensors(state: dict[str, Any], path: Path) -> Path:
    """Save to a file that appears under its name only once it is whole.

    Raises:
        OSError: The disk is full, or the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.half")
    try:
        with half.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        return half.replace(path)
    except RuntimeError as error:  # torch's writer hides the system's reason
        raise OSError(errno.ENOSPC, f"could not be written whole ({error})", str(path)) from error
    finally:
        half.unlink(missing_ok=True)
