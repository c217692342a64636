"""What to rename in a folder that is not laid out as a dataset, from the nearest layout."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.class_folders import TEST_SPLITS, TRAIN_SPLITS
from datasets_lib.layouts.folders import is_image, list_folder, same_name
from datasets_lib.layouts.masks import is_truth_folder
from datasets_lib.layouts.plain_folders import ABNORMAL_NAMES
from datasets_lib.layouts.split import NORMAL_NAMES

_MAX_NAMES = 3

_PICTURES = re.compile(r"(?:jpeg)?im(?:age|g)s?|(?:train|test|val)(?:ing|id|idation)?[0-9]*")
"""Names of folders of images in sets for detection or segmentation: images, train, train2017."""


def nearest_layout(folder: Path) -> str | None:
    """Return what the folder resembles and what to rename, as a clause; None if nothing.

    Raises:
        DatasetError: A folder cannot be listed.
    """
    contents = _Contents(folder)
    rules = (
        *(_images_alone, _one_category, _annotated, _unsorted, _unsplit_classes),
        *(_kinds, _flat_classes, _categories),
    )
    for rule in rules:
        if (clause := rule(contents)) is not None:
            return clause
    return None


class _Contents:
    """Folders of a folder, by their names in the form for comparison.

    Attributes:
        path: The folder.
        folders: Its folders by `same_name`.
        with_images: Folders that hold images, directly or one level deeper, without masks.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = list_folder(path, "").files
        self.folders = {same_name(name): path / name for name in list_folder(path, "").folders}
        self.with_images = {
            name: folder
            for name, folder in self.folders.items()
            if not is_truth_folder(name) and _holds_images(folder)
        }

    def named(self, names: frozenset[str] | tuple[str, ...]) -> Path | None:
        """Return the first folder that has one of these names."""
        return next((f for name, f in self.with_images.items() if name in names), None)

    def others(self, *names: frozenset[str]) -> list[Path]:
        """Return the folders with images that have none of these names."""
        return [f for n, f in self.with_images.items() if not any(n in group for group in names)]


def _images_alone(contents: _Contents) -> str | None:
    if contents.with_images or not any(map(is_image, contents.files)):
        return None
    return (
        "it holds images and no folders of them: put normal ones into normal and defective ones "
        "into abnormal, or those of each class into train/<class> and test/<class>"
    )


def _one_category(contents: _Contents) -> str | None:
    train = contents.named(TRAIN_SPLITS)
    if train is None:
        return None
    inner = _Contents(train)
    test = contents.named(TEST_SPLITS)
    name = contents.path.name
    if inner.named(NORMAL_NAMES):
        if test is None:
            return f"train/good has no test next to it: wanted {name}/<category>/test/<kind>"
        return (
            "it is one category of MVTec AD's layout: move it into a folder of its own, such as "
            f"parts/{name}, which is then the dataset parts"
        )
    return None


def _annotated(contents: _Contents) -> str | None:
    """Explain a set for detection or segmentation, with masks or labels next to its images."""
    is_other = contents.named(NORMAL_NAMES | ABNORMAL_NAMES) or _is_split_by_kind(contents)
    parts = [f for name, f in contents.with_images.items() if _PICTURES.fullmatch(name)]
    if is_other or not parts:
        return None
    for folder in (contents.path, *parts):
        inner = _Contents(folder)
        truth = next((f for name, f in inner.folders.items() if is_truth_folder(name)), None)
        if truth and any(map(_PICTURES.fullmatch, inner.with_images)):
            name = truth.relative_to(contents.path).as_posix()
            return (
                f"it has {name} next to its images, as sets for detection or segmentation have: "
                "this project reads train/<class> and test/<class> without masks, or normal and "
                "abnormal with masks"
            )
    return None


def _is_split_by_kind(contents: _Contents) -> bool:
    """Return whether the splits are like MVTec AD's: normal images to train on, kinds to test."""
    train, test = contents.named(TRAIN_SPLITS), contents.named(TEST_SPLITS)
    if train is None or test is None:
        return False
    normal, kinds = _Contents(train).with_images, _Contents(test).with_images
    return len(normal) < 2 and bool(kinds) and not any(map(_PICTURES.fullmatch, (*normal, *kinds)))


def _unsorted(contents: _Contents) -> str | None:
    train = contents.named(TRAIN_SPLITS)
    if train is None:
        return None
    inner = _Contents(train)
    if not inner.with_images and any(map(is_image, inner.files)):
        return (
            "train holds images directly: move normal ones into train/good, or those of each class "
            "into train/<class>"
        )
    return None


def _unsplit_classes(contents: _Contents) -> str | None:
    train = contents.named(TRAIN_SPLITS)
    if train is None:
        return None
    trained = _Contents(train).with_images
    classes = _names(trained.values())
    test = contents.named(TEST_SPLITS)
    if test is None:
        return (
            f"train has the classes {classes}, but there is no test, val or valid: move some of "
            "each class's images into test/<class>"
        )
    if len(trained.keys() & _Contents(test).with_images.keys()) >= 2:
        return None
    if len(trained) == 1:
        return (
            f"train has the folder {classes} alone: for anomaly detection, rename it to good and "
            f"move {contents.path.name} into a folder of its own, such as "
            f"parts/{contents.path.name}; for classification, add the other classes"
        )
    return (
        f"train has the folders {classes}, and the test split shares fewer than two of them: "
        "give the classes the same names in both"
    )


def _kinds(contents: _Contents) -> str | None:
    normal, abnormal = contents.named(NORMAL_NAMES), contents.named(ABNORMAL_NAMES)
    others = contents.others(NORMAL_NAMES, ABNORMAL_NAMES)
    if normal and others:
        masks = [f.name for f in contents.folders.values() if is_truth_folder(f.name)]
        moved = ", ".join(f"{f.name} into abnormal/{f.name}" for f in others[:_MAX_NAMES])
        return (
            f"{normal.name} holds normal images: move {moved}"
            + ", …" * (len(others) > _MAX_NAMES)
            + (f"; masks stay in {masks[0]}/<kind>" if masks else "")
        )
    if normal:
        return f"it has {normal.name} and no defective images: wanted abnormal next to it"
    if abnormal:
        return f"it has {abnormal.name} and no normal images: wanted normal next to it"
    return None


def _flat_classes(contents: _Contents) -> str | None:
    classes = [f for f in contents.with_images.values() if any(map(is_image, _files(f)))]
    if len(classes) < 2:
        return None
    return (
        f"it has the classes {_names(classes)} without a split: move them into train/<class> and "
        "some of their images into test/<class>; or, to find defects, rename the folder of "
        "normal images to normal and move the others into abnormal"
    )


def _categories(contents: _Contents) -> str | None:
    """Explain the first folder that resembles a category."""
    inner = [_Contents(folder) for folder in contents.with_images.values()]
    clauses = (rule(folder) for folder in inner for rule in (_annotated, _category))
    return next((clause for clause in clauses if clause is not None), None)


def _category(contents: _Contents) -> str | None:
    """Explain why a folder with a training split is no category of MVTec AD's layout."""
    name = contents.path.name
    if (train := contents.named(TRAIN_SPLITS)) is None:
        return None
    if contents.named(TEST_SPLITS) is None:
        return f"{name} has {train.name} and no test: wanted {name}/test/<kind>"
    if any(map(is_image, _files(train))):
        return f"{name}/{train.name} holds images directly: move them into train/good"
    inner = _Contents(train)
    if inner.named(NORMAL_NAMES):
        return f"{name} has no folders of the names train and test: rename its splits to these"
    found = _names(inner.with_images.values())
    return f"{name}/{train.name} holds {found}: rename the folder of normal images to good"


def nearest_category(folder: Path) -> str | None:
    """Return what a folder next to categories needs to be one, as a clause; None if nothing.

    Raises:
        DatasetError: A folder cannot be listed.
    """
    contents = _Contents(folder)
    return _category(contents) or _kinds(contents)


def deeper(folder: Path, is_dataset: Callable[[Path], bool]) -> tuple[Path, int] | None:
    """Return the nearest folder below that holds datasets, and how many levels deeper they are."""
    layer = [folder]
    for level in (1, 2, 3):
        for parent in layer:
            if any(map(is_dataset, _subfolders(parent))):
                return parent, level
        layer = [inner for parent in layer for inner in _subfolders(parent)]
    return None


def _subfolders(folder: Path) -> Iterator[Path]:
    with suppress(DatasetError):
        yield from (folder / name for name in list_folder(folder, "").folders)


def _holds_images(folder: Path) -> bool:
    return any(map(is_image, _files(folder))) or any(
        any(map(is_image, _files(inner))) or any(_subfolders(inner))
        for inner in _subfolders(folder)
    )


def _files(folder: Path) -> list[str]:
    return list_folder(folder, "").files


def _names(folders: Iterable[Path]) -> str:
    names = [folder.name for folder in folders]
    return ", ".join(names[:_MAX_NAMES]) + ", …" * (len(names) > _MAX_NAMES)
