"""Custom data described by file names, and the table of its images.

``data_rgb/<kind>/{category} {freq} {dimming}[_{extra}].png``: a kind is ``normal`` or a defect.
``masks/<kind>`` holds the masks, if any. ``data_info.csv`` next to ``data_rgb`` lists every image
with its split; it is written on first use and must agree with the files afterwards.
"""

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from datasets_lib.layouts.beside import images_and_masks
from datasets_lib.layouts.category import Category, DatasetError, Sample
from datasets_lib.layouts.data_info import IMAGES, Info, check_or_write
from datasets_lib.layouts.folders import (
    child,
    composed,
    folder_id,
    is_image,
    is_junk,
    list_folder,
    relative_name,
    subfolders,
)
from datasets_lib.layouts.masks import (
    image_key_of,
    inner_truths,
    masks_in,
    masks_of_kind,
    with_masks,
)
from datasets_lib.layouts.split import NORMAL_NAMES, is_grouped, split_category, split_test

PATTERN = "{category} {freq} {dimming}[_{extra}].png"

_NAME = re.compile(r"(?P<category>\S+) (?P<freq>\S+) (?P<dimming>[^\s_]+)(?:_(?P<extra>.+))?")
_LAYOUT = f"{IMAGES}/<normal or kind of defect>/{PATTERN}"


class _Named(NamedTuple):
    sample: Sample
    category: str
    freq: str
    dimming: str


def find_categories(root: Path) -> Mapping[str, Path] | None:
    """Return the first words of the image names, as ids, each with the dataset's folder.

    Names that do not follow the pattern count too; the reader reports them.

    Raises:
        OSError: A folder cannot be listed.
    """
    images = child(root, IMAGES)
    if not images.is_dir():
        return None
    names = [name for kind in subfolders(images) for name in _names(kind)]
    words = {Path(name).stem.partition(" ")[0] for name in names if is_image(name)}
    return dict.fromkeys(sorted(map(folder_id, words)), root) or None


def read_category(dataset: str, category: str, path: Path) -> Category:
    """Read one category in natural order, split by `split_category`.

    Raises:
        DatasetError: A name does not follow the pattern, two first words give the same id, there
            are too few images, images lie deeper or share a name, only some defects have a mask,
            or ``data_info.csv`` does not agree with the files.
    """
    kinds = list_folder(child(path, IMAGES), _LAYOUT).folders
    named = [row for kind in kinds for row in _kind(path, kind)]
    groups: dict[str, list[Sample]] = {}
    for row in named:
        groups.setdefault(row.category, []).append(row.sample)
    ids = _ids(path, groups)
    check_or_write(path, _table(named, groups))
    if category not in ids:
        raise DatasetError(
            f"{child(path, IMAGES)} holds no image of the category {category}: wanted names that "
            f"match {PATTERN}. Put its images there."
        )
    whole = split_category(dataset, category, path, groups[ids[category]], has_masks=False)
    return with_masks(
        path,
        whole,
        "masks/<kind>",
        inner_truths(path, _LAYOUT),
        may_own=lambda file: _may_own(category, file, ids.keys()),
    )


def _may_own(category: str, file: Path, ids: Set[str]) -> bool:
    """Return whether the first word of a mask, or of its folder, is a category's, or no one's."""
    names = (file.stem, image_key_of(file.name) or file.stem, file.parent.name)
    words = {folder_id(name.partition(" ")[0]) for name in names}
    return category in words or not words & ids


def _names(folder: Path) -> list[str]:
    # The reader reports a folder that cannot be listed.
    with suppress(OSError):
        return [file.name for file in folder.iterdir() if not is_junk(file.name)]
    return []


def _kind(path: Path, kind: str) -> list[_Named]:
    defect = None if kind.lower() in NORMAL_NAMES else composed(kind)
    folder = child(path, IMAGES) / kind
    images, masks = images_and_masks(folder, _LAYOUT)
    if defect:
        truths = inner_truths(path, _LAYOUT)
        masks |= masks_of_kind(truths, Path(kind), folder, path, _LAYOUT)
        for truth in truths:
            masks |= masks_in(truth, _LAYOUT, nested=False)
    return [_named(path, image, masks.of(image) if defect else (), defect) for image in images]


def _named(path: Path, image: Path, masks: tuple[Path, ...], defect: str | None) -> _Named:
    name = relative_name(image, path)
    match = _NAME.fullmatch(image.stem)
    # A name that is not UTF-8 is not printable, and the table could not hold it.
    if match is None or not name.isprintable():
        raise DatasetError(
            f"The file {name!a} of {path} does not match the pattern {PATTERN}, such as "
            "'bottle 50 100_003.png', in printable characters. Rename it, or move it out of "
            f"{child(path, IMAGES)}."
        )
    sample = Sample(name, image, masks, defect)
    return _Named(sample, composed(match["category"]), match["freq"], match["dimming"])


def _ids(path: Path, words: Iterable[str]) -> dict[str, str]:
    by_id: dict[str, str] = {}
    for word in words:
        other = by_id.setdefault(folder_id(word), word)
        if other != word:
            raise DatasetError(
                f"Two categories of {path} would share the id '{folder_id(word)}': {other} and "
                f"{word}. Ids are first words of file names, spelled in a-z, 0-9 and _; rename the "
                "files of one of them."
            )
    return by_id


def _table(named: Iterable[_Named], groups: Mapping[str, Sequence[Sample]]) -> list[Info]:
    # The split of one session is neither written nor compared, so no category may stop another.
    every = () if is_grouped() else groups.values()
    normal = [[sample for sample in group if not sample.defect] for group in every]
    trained = {sample.name for group in normal for sample in split_test(group)[0]}
    return [_info(row, row.sample.name in trained) for row in named]


def _info(row: _Named, trained: bool) -> Info:
    return Info(
        filename=row.sample.image.name,
        category=row.category,
        freq=row.freq,
        dimming=row.dimming,
        image_path=row.sample.name,
        dataset_type="train" if trained else "test",
        defect_type=row.sample.defect or "normal",
        label="1" if row.sample.defect else "0",
    )
