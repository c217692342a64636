"""What lies in a folder, in natural order; the readers of all layouts list through here."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from datasets_lib.layouts.category import DatasetError, Sample

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})


class Listing(NamedTuple):
    """Names in a folder, in natural order."""

    files: list[str]
    folders: list[str]


def list_folder(folder: Path, layout: str) -> Listing:
    """Names in a folder in natural order (``2.png`` before ``10.png``), hidden ones left out.

    Args:
        folder: The folder.
        layout: The layout wanted, in words, for the message.

    Raises:
        DatasetError: It cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            folder_by_name = {e.name: e.is_dir() for e in entries if not e.name.startswith(".")}
    except OSError as error:
        raise DatasetError(
            f"The folder {folder} cannot be listed: {error.strerror}. Wanted the layout {layout}; "
            "check that the folder is there and that you may read it."
        ) from error
    names = sorted(folder_by_name, key=natural)
    return Listing(
        [name for name in names if not folder_by_name[name]],
        [name for name in names if folder_by_name[name]],
    )


def list_images(folder: Path, layout: str) -> list[Path]:
    """The image files of a folder; what is hidden or no image is passed over.

    Raises:
        DatasetError: It cannot be listed.
    """
    return [folder / name for name in list_folder(folder, layout).files if is_image(name)]


def is_image(name: str) -> bool:
    """Whether a file of this name is taken for an image."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122


def natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """A sort key that puts ``2.png`` before ``10.png``."""
    parts = re.split(r"([0-9]+)", name)
    # The name itself decides between 1.png and 01.png.
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], name


def in_order(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """Samples that a list names in any order: normal ones first, each in natural order."""
    return tuple(sorted(samples, key=lambda s: (s.defect is not None, natural(s.name))))


def in_words(suffixes: Iterable[str]) -> str:
    """Suffixes as a message lists them."""
    return ", ".join(sorted(suffixes))
