"""Which ground-truth files belong to an image, told from names alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets_lib.layout import DatasetError, Sample
from datasets_lib.listing import in_words, list_folder

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


def all_or_none_masked(
    root: Path, defects: Sequence[Sample], truth: str, required: bool = False
) -> bool:
    """Whether the defects have masks: all of them do or none.

    Args:
        root: Folder that names are relative to, for the message.
        defects: The defective samples.
        truth: Where their masks are looked for, in words, for the message.
        required: Whether there must be some, for there is a folder that only holds masks.

    Raises:
        DatasetError: Some have masks and others do not, or none has and they are required.
    """
    missing = [sample for sample in defects if not sample.masks]
    if len(missing) == len(defects) and not (defects and required):
        return False
    if missing:
        first = missing[0]
        raise DatasetError(
            f"{len(missing)} of {len(defects)} defect images of {root} have no mask, the first is "
            f"{first.name}: wanted {first.image.stem}_mask.png or {first.image.stem}.png (or "
            f"{in_words(MASK_SUFFIXES)}) in {truth}. Add the masks, or remove all of them to go "
            "without pixel metrics."
        )
    return True


def _files(folder: Path, layout: str) -> tuple[Path, ...]:
    files = (folder / name for name in list_folder(folder, layout).files)
    return tuple(file for file in files if file.suffix.lower() in MASK_SUFFIXES)
