"""Class folders as a classification set: ``train/<class>`` and ``test/<class>``.

Where no ``test`` holds the classes, ``val`` is judged instead; beside one that does it is left
alone, for nothing is chosen on a validation split.
"""

from collections.abc import Mapping
from pathlib import Path

from datasets_lib.layouts.category import DatasetError, Sample
from datasets_lib.layouts.classification import Classification, FileSplit
from datasets_lib.layouts.folders import (
    IMAGE_SUFFIXES,
    folder_id,
    in_words,
    list_folder,
    list_images,
    subfolders,
)

JUDGED = ("test", "val")
"""Folders that may hold the images to judge on, the preferred one first."""

_LAYOUT = "train/<class>, test/<class> or val/<class>"

# Beside labels or masks these are the parts of another task's set, and no class of anything.
_NOT_CLASSES = frozenset({"images", "image"})


def find(root: Path) -> Mapping[str, Path] | None:
    """No categories, if train and a judged split share two class folders; else None.

    Sets for other tasks have such folders too: with ``ground_truth`` it is an anomaly set whose
    training split knows defects, with ``train/images`` one for detection or segmentation.

    Raises:
        OSError: A folder cannot be listed.
    """
    return None if _judged(root) is None else {}


def read(root: Path) -> Classification:
    """The classes, in natural order of their folders' names, and the images of each likewise.

    Hidden files and files that are no images are passed over. A class may have no folder in the
    judged split.

    Args:
        root: The folder of ``train``; its name is the set's.

    Raises:
        DatasetError: A folder is missing, unreadable or without images, a class is judged that
            is not trained, or a name is not UTF-8.
    """
    try:
        judged = _judged(root)
    except OSError as error:
        raise DatasetError(
            f"The folder {error.filename or root} cannot be listed: {error.strerror}. Wanted the "
            f"layout {_LAYOUT}; check that the folder is there and that you may read it."
        ) from error
    if judged is None:
        raise DatasetError(
            f"The folder {root} does not hold class folders: wanted {_LAYOUT}, with at least two "
            "classes in both splits. Put the images of each class in a folder of its name."
        )
    classes = _classes(root / "train")
    tested = _classes(root / judged)
    if unknown := [name for name in tested if name not in classes]:
        raise DatasetError(
            f"{root / judged} has classes that {root / 'train'} has not: {_some(unknown)}. Nothing "
            "can learn them; rename the folders as in train, or move them out of the split."
        )
    return Classification(
        folder_id(root.name),
        train=_split(root, "train", classes, classes),
        test=_split(root, judged, tested, classes),
    )


def _judged(root: Path) -> str | None:
    """The split to judge on, told from folder names; None if this is no set of class folders."""
    splits = {folder.name for folder in subfolders(root)}
    if "train" not in splits or "ground_truth" in splits:
        return None
    trained = {folder.name for folder in subfolders(root / "train")}
    if trained & _NOT_CLASSES:
        return None
    for split in JUDGED:
        if split in splits:
            tested = {folder.name for folder in subfolders(root / split)}
            if len(trained & tested) >= 2:
                return split
    return None


def _classes(split: Path) -> tuple[str, ...]:
    return tuple(list_folder(split, _LAYOUT).folders)


def _split(root: Path, split: str, present: tuple[str, ...], classes: tuple[str, ...]) -> FileSplit:
    label_of = {name: label for label, name in enumerate(classes)}
    samples: list[Sample] = []
    labels: list[int] = []
    for name in present:
        found = [_sample(root, image) for image in list_images(root / split / name, _LAYOUT)]
        if not found:
            raise DatasetError(
                f"{root / split / name} holds no image of its class: wanted files ending in "
                f"{in_words(IMAGE_SUFFIXES)}, in this very folder. Put them there, or remove the "
                "folder."
            )
        samples += found
        labels += [label_of[name]] * len(found)
    return FileSplit(classes, tuple(samples), tuple(labels))


def _sample(root: Path, image: Path) -> Sample:
    name = image.relative_to(root).as_posix()
    if name.encode(errors="replace").decode() != name:
        raise DatasetError(
            f"The name {name!a} in {root} is not UTF-8, so that no record could hold it. Rename "
            "the file or its folder."
        )
    return Sample(name, image)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(f"'{name[:40]}'" for name in names[:3]) + more
