"""Whether a folder can be written to, asked before hours of work depend on it."""

import os
from pathlib import Path


def why_not_writable(option: str, folder: Path) -> str:
    """Return why files cannot be written to a folder, and what to do; empty if they can.

    Args:
        option: Name of the option that gave the folder.
        folder: Absolute path of the folder, which need not exist yet.
    """
    existing = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if not os.path.isdir(existing):  # noqa: PTH112 - False, not an error, in an unreadable folder
        problem = f"{existing} is not a folder"
    elif not os.access(existing, os.W_OK | os.X_OK):
        problem = f"{existing} is not writable by this user"
    else:
        return ""
    return (
        f"{option} {folder}: wanted a folder to write to, but {problem}. Name another folder with "
        f"{option}."
    )
