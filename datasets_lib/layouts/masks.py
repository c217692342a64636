"""Which ground-truth files belong to an image, told from names alone."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from datasets_lib.layouts.category import Category, DatasetError
from datasets_lib.layouts.folders import in_words, list_folder

MASK_SUFFIXES = frozenset({".png", ".bmp", ".tif", ".tiff"})
"""JPEG is missing: its ringing puts non-zero pixels beside every defect."""

Masks = Mapping[str, tuple[Path, ...]]


def masks_by_stem(truth: Path, layout: str) -> Masks:
    """The masks of a folder by the stem of their image; none where the folder does not exist.

    A mask is one file, ``<stem>_mask.png`` or ``<stem>.png``, or a folder ``<stem>`` of several.

    Raises:
        DatasetError: A folder is there and cannot be listed.
    """
    try:
        listing = list_folder(truth, layout)
    except DatasetError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return {}
        raise
    several = {name: _files(truth / name, layout) for name in listing.folders}
    # Reversed, so that of two files of one stem the first in natural order stays.
    files = [truth / name for name in reversed(listing.files)]
    single = {file.stem: (file,) for file in files if file.suffix.lower() in MASK_SUFFIXES}
    return several | single


def masks_of(stem: str, masks: Masks) -> tuple[Path, ...]:
    """The masks of the image of this stem; empty if it has none."""
    return masks.get(f"{stem}_mask") or masks.get(stem) or ()


class MissingMasksError(DatasetError):
    """Some defects have masks and others do not, or what lies where masks belong is of no use.

    Attributes:
        category: What was read, as one without masks; `datasets_lib.verify` goes on with it.
    """

    def __init__(self, message: str, category: Category) -> None:
        super().__init__(message)
        self.category = category


def with_masks(
    root: Path, category: Category, truth: str, folders: Iterable[Path], required: bool = False
) -> Category:
    """The category with ``has_masks`` set: all defects of its test split have masks, or none.

    Args:
        root: Folder that names are relative to, for the message.
        category: As read.
        truth: Where masks are looked for, in words, for the message.
        folders: Where they were looked for; some may not exist.
        required: Whether there must be some, for there is a folder that only holds masks.

    Raises:
        MissingMasksError: Some have masks and others do not; or none has, and they are required or
            lie there in a format that is none of `MASK_SUFFIXES`.
    """
    defects = [sample for sample in category.test if sample.defect]
    missing = [sample for sample in defects if not sample.masks]
    if not missing:
        return replace(category, has_masks=bool(defects))
    category = replace(category, has_masks=False)
    foreign = _of_no_mask_format(folders, {sample.image.stem for sample in missing})
    if len(missing) == len(defects) and not required and foreign is None:
        return category
    first = missing[0]
    found = f"; {foreign} is of no mask format" if foreign else ""
    raise MissingMasksError(
        f"{len(missing)} of {len(defects)} defect images of {root} have no mask, the first is "
        f"{first.name}: wanted {first.image.stem}_mask.png or {first.image.stem}.png (or "
        f"{in_words(MASK_SUFFIXES)}) in {truth}{found}. Add the masks, or remove all of them to go "
        "without pixel metrics.",
        category,
    )


def _of_no_mask_format(folders: Iterable[Path], stems: set[str]) -> Path | None:
    """A file named as the mask of one of these images that cannot be taken for it, if any."""
    for folder in folders:
        for file in sorted(folder.rglob("*")):
            is_foreign = file.suffix and file.suffix.lower() not in MASK_SUFFIXES
            # The mask may be one file or, in a folder of the image's name, several.
            names = {file.stem, file.stem.removesuffix("_mask"), file.parent.name}
            if is_foreign and not names.isdisjoint(stems):
                return file
    return None


def _files(folder: Path, layout: str) -> tuple[Path, ...]:
    files = (folder / name for name in list_folder(folder, layout).files)
    return tuple(file for file in files if file.suffix.lower() in MASK_SUFFIXES)
