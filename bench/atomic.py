"""Save tensors so that a file is whole or absent."""

import errno
from pathlib import Path
from typing import Any

import torch

from datasets_lib.atomic import atomic_path


def save_tensors(state: dict[str, Any], path: Path) -> Path:
    """Save a state dictionary to a file that appears under its name once it is whole.

    Args:
        state: What `torch.save` writes.
        path: Path of the file.

    Raises:
        OSError: The disk is full, or the file cannot be written.
    """
    try:
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            torch.save(state, file)
    except RuntimeError as error:  # torch's writer hides the system's reason
        raise OSError(errno.ENOSPC, f"could not be written in full ({error})", str(path)) from error
    return path
