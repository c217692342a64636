"""The MVTec AD layout: ``train/good``, ``test/<kind>``, ``ground_truth/<kind>``."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from datasets_lib.folder_names import ids_of, subfolders
from datasets_lib.layout import Category, DatasetError, Sample

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})

MASK_SUFFIXES = frozenset({".png", ".bmp", ".tif", ".tiff"})
"""JPEG is missing: its ringing puts non-zero pixels beside every defect."""


def find_categories(root: Path) -> Mapping[str, Path] | None:
    """The folders that hold ``train/good`` and ``test``, by id; None without any.

    Beside known categories, a folder that cannot be looked into is kept: its cases then fail by
    name, where dropping it would quietly shorten the benchmark.

    Raises:
        DatasetError: Two folders give one id.
    """
    folders = subfolders(root)
    known = [folder for folder in folders if _is_category(folder)]
    closed = [folder for folder in folders if not os.access(folder, os.R_OK | os.X_OK)]
    return ids_of({*known, *closed}, "categories") if known else None


def read_category(dataset: str, category: str, path: Path) -> Category:
    """The samples of one category folder, in natural order (``2.png`` before ``10.png``).

    Hidden files and files that are not images are passed over, and so are masks without an
    image. A mask is ``ground_truth/<kind>/<stem>_mask.png`` or ``<stem>.png``. A category without
    any mask is read, with ``has_masks`` false.

    Raises:
        DatasetError: A folder is missing or unreadable, there are no training or no test images,
            or some defects have a mask and others do not.
    """
    train = [_normal(path, image) for image in _images(path / "train" / "good")]
    if not train:
        raise DatasetError(
            f"{path / 'train' / 'good'} holds no image to train on: wanted at least one file "
            f"ending in {_list(IMAGE_SUFFIXES)}. Put the normal images there."
        )
    kinds = _listing(path / "test").folders
    normal = [_normal(path, image) for image in _images(path / "test" / "good", kinds)]
    defects = [sample for kind in kinds if kind != "good" for sample in _defects(path, kind)]
    if not normal and not defects:
        raise DatasetError(
            f"{path / 'test'} holds no image to test on: wanted test/good and test/<kind of "
            f"defect> with files ending in {_list(IMAGE_SUFFIXES)}. Put the test images there."
        )
    has_masks = _all_or_none_masked(path, defects)
    return Category(dataset, category, tuple(train), tuple(normal + defects), has_masks)


def _is_category(folder: Path) -> bool:
    # os.path.isdir answers False where Path.is_dir raises on a folder it may not enter.
    return os.path.isdir(folder / "train" / "good") and os.path.isdir(folder / "test")  # noqa: PTH112


def _normal(root: Path, image: Path) -> Sample:
    return Sample(image.relative_to(root).as_posix(), image)


def _defects(root: Path, kind: str) -> list[Sample]:
    masks = _masks(root / "ground_truth" / kind)
    return [
        Sample(
            name=image.relative_to(root).as_posix(),
            image=image,
            masks=_only(masks.get(f"{image.stem}_mask") or masks.get(image.stem)),
            defect=kind,
        )
        for image in _images(root / "test" / kind)
    ]


def _only(mask: Path | None) -> tuple[Path, ...]:
    return (mask,) if mask else ()


def _images(folder: Path, present: Iterable[str] | None = None) -> list[Path]:
    """Image files of a folder; none if its name is not among those present."""
    if present is not None and folder.name not in present:
        return []
    names = (folder / name for name in _listing(folder).files)
    return [file for file in names if file.suffix.lower() in IMAGE_SUFFIXES]


def _masks(truth: Path) -> dict[str, Path]:
    """Mask files by stem; none where the folder does not exist."""
    try:
        names = _listing(truth).files
    except DatasetError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return {}
        raise
    # Reversed, so that of two files of one stem the first in natural order stays.
    files = [truth / name for name in reversed(names)]
    return {file.stem: file for file in files if file.suffix.lower() in MASK_SUFFIXES}


def _all_or_none_masked(root: Path, defects: list[Sample]) -> bool:
    missing = [sample for sample in defects if not sample.masks]
    if len(missing) == len(defects):
        return False
    if missing:
        first = missing[0]
        wanted = root / "ground_truth" / str(first.defect) / f"{first.image.stem}_mask.png"
        raise DatasetError(
            f"{len(missing)} of {len(defects)} defect images of {root} have no mask, the first is "
            f"{first.name}: wanted {wanted} (or without _mask; {_list(MASK_SUFFIXES)}). Add the "
            "masks, or remove ground_truth to go without pixel metrics."
        )
    return True


class _Listing(NamedTuple):
    files: list[str]
    folders: list[str]


def _listing(folder: Path) -> _Listing:
    """Names in a folder in natural order, hidden ones left out."""
    try:
        with os.scandir(folder) as entries:
            folder_by_name = {e.name: e.is_dir() for e in entries if not e.name.startswith(".")}
    except OSError as error:
        raise DatasetError(
            f"The folder {folder} cannot be listed: {error.strerror}. Wanted the layout "
            "train/good, test/good, test/<kind>, ground_truth/<kind>; check that the folder is "
            "there and that you may read it."
        ) from error
    names = sorted(folder_by_name, key=_natural)
    return _Listing(
        [name for name in names if not folder_by_name[name]],
        [name for name in names if folder_by_name[name]],
    )


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    parts = re.split(r"([0-9]+)", name)
    # The name itself decides between 1.png and 01.png.
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], name


def _list(suffixes: Iterable[str]) -> str:
    return ", ".join(sorted(suffixes))
