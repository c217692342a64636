"""Class folders as a classification set: ``train/<class>`` and ``test/<class>``.

``val`` is the test split if no ``test`` folder holds the classes. Otherwise it is not read, because
nothing is selected on a validation split.
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

TEST_SPLITS = ("test", "val")
"""Folders that may hold the test images, in order of preference."""

_LAYOUT = "train/<class>, test/<class> or val/<class>"

# Next to labels or masks, these are parts of a set for another task and not classes.
_NOT_CLASSES = frozenset({"images", "image"})


def find(root: Path) -> Mapping[str, Path] | None:
    """Return an empty mapping if the train and test splits share two class folders, else None.

    Folders with ``ground_truth`` (an anomaly set that trains on defects) or ``train/images`` (a set
    for detection or segmentation) do not count.

    Raises:
        OSError: A folder cannot be listed.
    """
    return None if _test_split(root) is None else {}


def read(root: Path) -> Classification:
    """Read classes and images in natural order of their names.

    Hidden files and files that are not images are skipped. A class may be absent from the test
    split.

    Args:
        root: Parent folder of ``train``; its name becomes the name of the set.

    Raises:
        DatasetError: A folder is missing, unreadable or empty, a test class has no training
            images, or a name is not UTF-8.
    """
    try:
        test_split = _test_split(root)
    except OSError as error:
        raise DatasetError(
            f"The folder {error.filename or root} cannot be listed: {error.strerror}. Wanted the "
            f"layout {_LAYOUT}; check that the folder is there and that you may read it."
        ) from error
    if test_split is None:
        raise DatasetError(
            f"The folder {root} does not hold class folders: wanted {_LAYOUT}, with at least two "
            "classes in both splits. Put the images of each class in a folder of its name."
        )
    classes = _classes(root / "train")
    tested = _classes(root / test_split)
    if unknown := [name for name in tested if name not in classes]:
        raise DatasetError(
            f"{root / test_split} has classes that {root / 'train'} has not: {_some(unknown)}. No "
            "model can learn them; rename the folders as in train, or move them out of the split."
        )
    return Classification(
        folder_id(root.name),
        train=_split(root, "train", classes, classes),
        test=_split(root, test_split, tested, classes),
    )


def _test_split(root: Path) -> str | None:
    """Return the name of the test split; None if these are not class folders."""
    splits = {folder.name for folder in subfolders(root)}
    if "train" not in splits or "ground_truth" in splits:
        return None
    trained = {folder.name for folder in subfolders(root / "train")}
    if trained & _NOT_CLASSES:
        return None
    for split in TEST_SPLITS:
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
        images = list_images(root / split / name, _LAYOUT)
        if not images:
            raise DatasetError(
                f"{root / split / name} holds no image: expected files ending in "
                f"{in_words(IMAGE_SUFFIXES)} directly in this folder. Put them there, or remove "
                "the folder."
            )
        samples += [_sample(root, image) for image in images]
        labels += [label_of[name]] * len(images)
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
