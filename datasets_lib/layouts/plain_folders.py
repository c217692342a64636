"""Plain folders as a dataset: ``normal``, ``abnormal`` and, optionally, ``masks``.

Either the dataset's folder holds them, as its single category ``all``, or each category folder
does; masks may also lie next to the category folders, in ``masks/<category>``. Folders in
``abnormal`` are kinds of defects and may recur in ``masks``. `NORMAL_NAMES`,
`ABNORMAL_NAMES` and those of `masks.is_truth_folder` are the accepted names, in lower or upper
case.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from datasets_lib.layouts.beside import images_and_masks
from datasets_lib.layouts.category import Category, Sample
from datasets_lib.layouts.class_folders import TEST_SPLITS, TRAIN_SPLITS
from datasets_lib.layouts.folders import (
    categories_in,
    composed,
    files_below,
    folder_id,
    is_image,
    list_folder,
    relative_name,
    subfolders,
)
from datasets_lib.layouts.masks import (
    inner_truths,
    is_truth_folder,
    masks_of_kind,
    truths_above,
    with_masks,
)
from datasets_lib.layouts.split import NORMAL_NAMES, split_category

ABNORMAL_NAMES = frozenset(
    {"abnormal", "anomalous", "anomaly", "anomalies", "bad", "ko", "ng"}
    | {"defect", "defects", "defective"}
)

ALL = "all"
"""Category id of a dataset without categories."""

_LAYOUT = "normal, abnormal, abnormal/<kind>, masks, masks/<kind>"


def find_categories(root: Path) -> Mapping[str, Path] | None:
    """Return the categories in a folder by id; None if there are none.

    Raises:
        OSError: The folder cannot be listed.
        DatasetError: Two folders give the same id.
    """
    names = {folder.name.lower() for folder in subfolders(root)}
    # A folder with a train split is a category of another layout, not a dataset of this one.
    if not names.isdisjoint(TRAIN_SPLITS):
        return None
    if _is_plain(names):
        return {ALL: root}
    # Splits are no categories: training images would come from the test split.
    return categories_in(root, _is_category) if names.isdisjoint(TEST_SPLITS) else None


def read_category(dataset: str, category: str, path: Path) -> Category:
    """Read one category in natural order, split by `split_category`.

    Raises:
        DatasetError: A folder is unreadable, there are too few images, images lie deeper or share
            a name, or only some defects have a mask.
    """
    folders = list_folder(path, _LAYOUT).folders
    normal = [
        Sample(relative_name(image, path), image)
        for name in folders
        if name.lower() in NORMAL_NAMES
        for image in images_and_masks(path / name, _LAYOUT)[0]
    ]
    above, strays = ([], []) if _is_root(category, path) else truths_above(path, _is_category)
    truths = [*inner_truths(path, _LAYOUT), *above]
    kinds = [
        (folder, folder.relative_to(path / name))
        for name in folders
        if name.lower() in ABNORMAL_NAMES
        for folder in _with_kinds(path / name)
    ]
    defects = [sample for folder, kind in kinds for sample in _defects(path, folder, kind, truths)]
    whole = split_category(dataset, category, path, normal + defects, has_masks=False)
    return with_masks(
        path,
        whole,
        "masks, or masks/<kind>",
        truths,
        required=any(map(_holds_masks, truths)),
        strays=strays,
    )


def _is_root(category: str, path: Path) -> bool:
    """Return whether the folder of a category is that of its dataset, see `find_categories`."""
    return category == ALL and folder_id(path.name) != ALL


def _holds_masks(truth: Path) -> bool:
    """Return whether a folder is called masks, or something like labels and has an image in it."""
    certain = is_truth_folder(truth.name, among_kinds=True)
    return certain or any(is_image(file.name) for file in files_below(truth))


def _is_category(folder: Path) -> bool:
    with suppress(OSError):
        return _is_plain({inner.name.lower() for inner in subfolders(folder)})
    return False


def _is_plain(names: set[str]) -> bool:
    return not names.isdisjoint(NORMAL_NAMES) and not names.isdisjoint(ABNORMAL_NAMES)


def _with_kinds(abnormal: Path) -> list[Path]:
    folders = list_folder(abnormal, _LAYOUT).folders
    kinds = [name for name in folders if not is_truth_folder(name, among_kinds=True)]
    return [abnormal, *(abnormal / kind for kind in kinds)]


def _defects(path: Path, folder: Path, kind: Path, truths: Sequence[Path]) -> list[Sample]:
    images, masks = images_and_masks(folder, _LAYOUT, has_kinds=not kind.parts)
    masks |= masks_of_kind(truths, kind, folder, path, _LAYOUT)
    defect = composed(folder.name)
    return [Sample(relative_name(image, path), image, masks.of(image), defect) for image in images]
