"""List the images of texture sets; their classes do not matter."""

from collections.abc import Sequence
from pathlib import Path

from datasets_lib.layouts.category import DatasetError
from datasets_lib.sets import dtd, imagenette

SUFFIXES = {".jpg", ".jpeg", ".png"}


def read_dtd(root: Path) -> list[Path]:
    """Return every image of DTD, sorted by path.

    Raises:
        DatasetError: There is none, or a folder cannot be listed.
    """
    return _images(dtd.locate(root) or root, ("images",))


def read_imagenette(root: Path) -> list[Path]:
    """Return every image of both splits of Imagenette, sorted by path.

    Raises:
        DatasetError: There is none, or a folder cannot be listed.
    """
    return _images(imagenette.locate(root) or root, ("train", "val"))


def _images(root: Path, parts: Sequence[str]) -> list[Path]:
    try:
        files = [file for part in parts for kind in (root / part).iterdir() for file in _in(kind)]
    except OSError as error:
        raise DatasetError(
            f"The folder {error.filename} cannot be listed: {error.strerror}. Wanted a folder of "
            "one folder of images a class, as the publisher's archive has it; unpack it again."
        ) from error
    if not files:
        raise DatasetError(
            f"The folder {root} has no images: wanted {', '.join(sorted(SUFFIXES))} files in "
            f"{' and '.join(f'{part}/<class>' for part in parts)}. Unpack the publisher's archive "
            "again."
        )
    return sorted(files)


def _in(folder: Path) -> list[Path]:
    if not folder.is_dir() or folder.name.startswith("."):
        return []
    return [
        file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    ]
