"""Where a dataset lies below its folder: there, or in the folder its archive unpacks to."""

from pathlib import Path


def marked_folder(root: Path, inner: tuple[str, ...], marker: str) -> Path | None:
    """The dataset's root, or a folder in it, that holds a marker; None if none does.

    Args:
        root: The dataset's folder.
        inner: Names of the top folder of its archives, in the order to look.
        marker: Path of a file or folder that the dataset always has.
    """
    for folder in (root, *(root / name for name in inner)):
        if (folder / marker).exists():
            return folder
    return None
