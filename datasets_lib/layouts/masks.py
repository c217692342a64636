"""Ground-truth files of an image, from file names alone."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from datasets_lib.layouts.category import Category, DatasetError
from datasets_lib.layouts.folders import in_words, list_folder

MASK_SUFFIXES = frozenset({".png", ".bmp", ".tif", ".tiff"})
"""Without JPEG, whose ringing puts non-zero pixels around every defect."""

Masks = Mapping[str, tuple[Path, ...]]


def masks_by_stem(truth: Path, layout: str) -> Masks:
    """Return the masks of a folder by stem; empty if the folder does not exist.

    The masks of an image are a file ``<stem>_mask.png`` or ``<stem>.png``, or the files in a folder
    ``<stem>``.

    Raises:
        DatasetError: A folder exists but cannot be listed.
    """
    try:
        listing = list_folder(truth, layout)
    except DatasetError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return {}
        raise
    several = {name: _files(truth / name, layout) for name in listing.folders}
    # Reversed, so that the first of two files with the same stem in natural order wins.
    files = [truth / name for name in reversed(listing.files)]
    single = {file.stem: (file,) for file in files if file.suffix.lower() in MASK_SUFFIXES}
    return several | single


def masks_of(stem: str, masks: Masks) -> tuple[Path, ...]:
    """Return the masks of the image with this stem; empty if it has none."""
    return masks.get(f"{stem}_mask") or masks.get(stem) or ()


class MissingMasksError(DatasetError):
    """Only some defects have masks, or the files where masks belong are not usable.

    Attributes:
        category: Category as read, without masks; `datasets_lib.verify` continues with it.
    """

    def __init__(self, message: str, category: Category) -> None:
        super().__init__(message)
        self.category = category


def with_masks(
    root: Path, category: Category, truth: str, folders: Iterable[Path], required: bool = False
) -> Category:
    """Set ``has_masks`` of a category after checking that all defects have masks or none has.

    Args:
        root: Folder of the category for the error message.
        category: Category as read.
        truth: Description of the mask folders for the error message.
        folders: Folders that were searched for masks; some may not exist.
        required: Whether masks must exist, because a folder of masks exists.

    Raises:
        MissingMasksError: Only some defects have masks; or none has, and masks are required or
            exist in a format outside `MASK_SUFFIXES`.
    """
    defects = [sample for sample in category.test if sample.defect]
    missing = [sample for sample in defects if not sample.masks]
    if not missing:
        return replace(category, has_masks=bool(defects))
    category = replace(category, has_masks=False)
    foreign = _foreign_mask(folders, {sample.image.stem for sample in missing})
    if len(missing) == len(defects) and not required and foreign is None:
        return category
    first = missing[0]
    hint = f"; {foreign} is not in a mask format" if foreign else ""
    raise MissingMasksError(
        f"{len(missing)} of {len(defects)} defect images of {root} have no mask, the first is "
        f"{first.name}: wanted {first.image.stem}_mask.png or {first.image.stem}.png (or "
        f"{in_words(MASK_SUFFIXES)}) in {truth}{hint}. Add the masks, or remove all of them to go "
        "without pixel metrics.",
        category,
    )


def _foreign_mask(folders: Iterable[Path], stems: set[str]) -> Path | None:
    """Return a file that is named as a mask of one of these images but has another format."""
    for folder in folders:
        for file in sorted(folder.rglob("*")):
            is_foreign = file.suffix and file.suffix.lower() not in MASK_SUFFIXES
            # The mask is one file, or several files in a folder of the image's name.
            names = {file.stem, file.stem.removesuffix("_mask"), file.parent.name}
            if is_foreign and not names.isdisjoint(stems):
                return file
    return None


def _files(folder: Path, layout: str) -> tuple[Path, ...]:
    files = (folder / name for name in list_folder(folder, layout).files)
    return tuple(file for file in files if file.suffix.lower() in MASK_SUFFIXES)
