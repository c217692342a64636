"""Class folders as a classification set: ``train/<class>`` and ``test/<class>``.

``val`` or ``valid`` is the test split if no ``test`` folder holds the classes. Otherwise it is not
read, because nothing is selected on a validation split. Case and Unicode normalization of names
do not matter.
"""

from collections.abc import Iterable, Mapping, Set
from pathlib import Path

from datasets_lib.layouts.category import DatasetError, Sample
from datasets_lib.layouts.classification import Classification, FileSplit
from datasets_lib.layouts.folders import (
    IMAGE_SUFFIXES,
    check_formats,
    composed,
    first_names,
    folder_id,
    in_words,
    is_image,
    list_folder,
    relative_name,
    same_name,
    subfolders,
)
from datasets_lib.layouts.masks import deeper_images, is_truth_folder

TEST_SPLITS = ("test", "testing", "val", "valid", "validation")
"""Folders that may hold the test images, in order of preference."""

TRAIN_SPLITS = ("train", "training")

_LAYOUT = "train/<class>, test/<class> or val/<class>"

# Next to labels or masks, these are parts of a set for another task and not classes.
_NOT_CLASSES = frozenset({"images", "image"})


def find(root: Path) -> Mapping[str, Path] | None:
    """Return an empty mapping if the train and test splits share two class folders, else None.

    Folders with masks (an anomaly set that trains on defects) or ``train/images`` (a set
    for detection or segmentation) do not count.

    Raises:
        OSError: A folder cannot be listed.
    """
    return None if _splits(root) is None else {}


def class_names(root: Path) -> Set[str]:
    """Return the names of the classes in the form for comparison; none if there are no splits.

    Raises:
        OSError: A folder cannot be listed.
    """
    train, _ = _splits(root) or ([], [])
    return {same_name(inner.name) for folder in train for inner in subfolders(folder)}


def read(root: Path) -> Classification:
    """Read classes and images in natural order of their names.

    Hidden files and files that are not images are skipped. A class may be absent from the test
    split.

    Args:
        root: Parent folder of ``train``; its name becomes the name of the set.

    Raises:
        DatasetError: A folder is missing, unreadable or empty, two folders have one name, images
            lie deeper than a class's folder or have a format that is not read, a test class has no
            training images, or a name is not UTF-8.
    """
    try:
        splits = _splits(root)
    except OSError as error:
        raise DatasetError(
            f"The folder {error.filename or root} cannot be listed: {error.strerror}. Wanted the "
            f"layout {_LAYOUT}; check that it exists and that you have permission to read it."
        ) from error
    if splits is None:
        raise DatasetError(
            f"The folder {root} does not hold class folders: wanted {_LAYOUT}, with at least two "
            "classes in both splits. Put the images of each class in a folder of its name."
        )
    train, test = map(_only, splits)
    classes, tested = _classes(train), _classes(test)
    if unknown := [name for name in tested if name not in classes]:
        shown = first_names(unknown, quote="'")
        raise DatasetError(
            f"{test} has classes that {train} lacks: {shown}. No model can learn them; "
            "rename the folders as in train, or move them out of the split."
        )
    names = tuple(composed(folder.name) for folder in classes.values())
    return Classification(
        folder_id(root.name),
        train=_split(root, classes, classes, names),
        test=_split(root, tested, classes, names),
    )


def _splits(root: Path) -> tuple[list[Path], list[Path]] | None:
    """Return the folders of the training and the test split; None if there are no class folders.

    Each has one folder, unless others have the same name.
    """
    folders = _by_name(subfolders(root))
    train = next((folders[name] for name in TRAIN_SPLITS if name in folders), None)
    if train is None or any(is_truth_folder(name, among_kinds=True) for name in folders):
        return None
    trained = _by_name(inner for folder in train for inner in subfolders(folder)).keys()
    if trained & _NOT_CLASSES:
        return None
    for name in TEST_SPLITS:
        if name in folders:
            tested = _by_name(inner for folder in folders[name] for inner in subfolders(folder))
            if len(trained & tested.keys()) >= 2:
                return train, folders[name]
    return None


def _classes(split: Path) -> dict[str, Path]:
    """Return the class folders of a split in natural order, by the name that is compared."""
    folders = _by_name(split / name for name in list_folder(split, _LAYOUT).folders)
    return {name: _only(same) for name, same in folders.items()}


def _by_name(folders: Iterable[Path]) -> dict[str, list[Path]]:
    """Return the folders of each name in the form for comparison."""
    by_name: dict[str, list[Path]] = {}
    for folder in folders:
        by_name.setdefault(same_name(folder.name), []).append(folder)
    return by_name


def _only(folders: list[Path]) -> Path:
    """Return the only folder of a name.

    Raises:
        DatasetError: There are several.
    """
    if len(folders) > 1:
        first, second = sorted(folders)[:2]
        raise DatasetError(
            f"The folders {first} and {second} have one name, but for case or "
            "Unicode normalization: wanted one folder for each split and class. Merge them."
        )
    return folders[0]


def _split(
    root: Path, present: Mapping[str, Path], classes: Mapping[str, Path], names: tuple[str, ...]
) -> FileSplit:
    label_of = {name: label for label, name in enumerate(classes)}
    samples: list[Sample] = []
    labels: list[int] = []
    for name, folder in present.items():
        images = _images(folder)
        samples += [_sample(root, image) for image in images]
        labels += [label_of[name]] * len(images)
    return FileSplit(names, tuple(samples), tuple(labels))


def _images(folder: Path) -> list[Path]:
    """Return the images of a class in one split.

    Raises:
        DatasetError: It has none, has some in folders below, or in a format that is not read.
    """
    listing = list_folder(folder, _LAYOUT)
    check_formats(folder, listing.files)
    deeper = next(deeper_images(folder), None)
    images = [folder / name for name in listing.files if is_image(name)]
    if deeper is not None:
        own = f", and {len(images):,} directly" if images else ""
        raise DatasetError(
            f"{folder} holds images in folders in it, such as {deeper}{own}: wanted the images of "
            f"a class directly in its folder ({_LAYOUT}). Move them up into {folder.name}, or out "
            "of the split."
        )
    if not images:
        raise DatasetError(
            f"{folder} holds no image: expected files ending in {in_words(IMAGE_SUFFIXES)} "
            "directly in this folder. Put them there, or remove the folder."
        )
    return images


def _sample(root: Path, image: Path) -> Sample:
    name = relative_name(image, root)
    if name.encode(errors="replace").decode() != name:
        raise DatasetError(
            f"The name {name!a} in {root} is not UTF-8, so no record could store it. Rename "
            "the file or its folder."
        )
    return Sample(name, image)
