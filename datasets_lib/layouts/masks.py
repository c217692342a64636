"""Ground-truth files of an image, from file and folder names alone."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from datasets_lib.layouts.category import Category, DatasetError
from datasets_lib.layouts.folders import (
    IMAGE_SUFFIXES,
    child,
    files_below,
    in_words,
    is_image,
    is_junk,
    list_folder,
    same_name,
    subfolders,
)

MASK_SUFFIXES = frozenset({".png", ".bmp", ".tif", ".tiff"})
"""Without JPEG, whose ringing puts non-zero pixels around every defect."""

_WORDS = "masks?|gts?|labels?|ground_?truths?|truths?|seg|segmentations?|annotations?|annots?"
_BEFORE = re.compile(rf"(?:{_WORDS})[ _.-]+(?=.)")
_AFTER = re.compile(rf"(?<=.)[ _.-]+(?:{_WORDS})\Z")
_CERTAIN = re.compile(
    "(?:pixel|defect|binary|bin|anomaly|test|gt|groundtruth|mask|label|seg|segmentation)?"
    "(?:masks?|gts?|groundtruths?)(?:images?|bin|binary|png)?|pixel(?:labels?|annotations?)"
)
_LIKELY = re.compile(r"labels?|truths?|seg|segmentations?|annotations?")
_DOUBTFUL = re.compile(
    r"mask(?!ed)|ground[ _.-]?truth|segmentation|(?<!un)annot"
    r"|(?:\A|[ _.-])(?:gts?|truths?|labels|seg)(?:\Z|[ _.-])"
)
_FORMATS = frozenset({"png", "bmp", "tif", "tiff"})

_MAX_NAMES = 3


def is_truth_folder(name: str, among_kinds: bool = False) -> bool:
    """Return whether a folder of this name holds masks.

    Args:
        name: Name of the folder.
        among_kinds: Whether it lies among kinds of defects, one of which may be called ``label``.

    >>> is_truth_folder("GroundTruth"), is_truth_folder("mask"), is_truth_folder("scratch")
    (True, True, False)
    """
    squeezed = re.sub("[ _-]", "", same_name(name))
    certain = _CERTAIN.fullmatch(squeezed) is not None
    return certain or (not among_kinds and _LIKELY.fullmatch(squeezed) is not None)


def may_hold_masks(name: str) -> bool:
    """Return whether the name of a folder has a word for masks in it.

    >>> may_hold_masks("scratch_masks"), may_hold_masks("2026-05-01")
    (True, False)
    """
    return _DOUBTFUL.search(same_name(name)) is not None


def images_below(folder: Path) -> Iterator[Path]:
    """Yield the images in a folder and below it in natural order, without folders of masks."""
    for file in files_below(folder):
        folders = file.relative_to(folder).parts[:-1]
        if is_image(file.name) and not any(map(is_truth_folder, folders)):
            yield file


def deeper_images(folder: Path) -> Iterator[Path]:
    """Yield the images below a folder that are not directly in it, without folders of masks."""
    for inner in sorted(subfolders(folder)):
        if not is_truth_folder(inner.name):
            yield from images_below(inner)


def inner_truths(folder: Path, layout: str, among_kinds: bool = False) -> list[Path]:
    """Return the folders of masks in a folder; the arguments are as for `is_truth_folder`."""
    names = list_folder(folder, layout).folders
    return [folder / name for name in names if is_truth_folder(name, among_kinds)]


def truths_above(path: Path, is_category: Callable[[Path], bool]) -> tuple[list[Path], list[Path]]:
    """Return where the masks of a category may lie in the folders of masks next to it.

    Masks of several categories are told apart by the category's folder alone, because images of
    different categories often share a name.

    Args:
        path: Folder of the category, in the folder of its dataset.
        is_category: Returns whether a folder is a category.

    Returns:
        The folders of masks to search: that of the category in each, and each itself if there is
        no other category; and if there are others, the files that are in the folder of none.

    Raises:
        DatasetError: The folder of the dataset cannot be listed.
    """
    truths = inner_truths(path.parent, "<category>")
    if not truths:
        return [], []
    own = [child(truth, path.name) for truth in truths]
    own = [folder for folder in own if folder.is_dir()]
    categories = {same_name(f.name) for f in subfolders(path.parent) if is_category(f)}
    if categories <= {same_name(path.name)}:
        return own + truths, []
    strays = [
        file
        for truth in truths
        for file in _files_in([truth])
        if is_image(file.name) and same_name(file.relative_to(truth).parts[0]) not in categories
    ]
    return own, strays


def key_of(name: str) -> str:
    """Return the part of an image's or a mask's file name to compare: no suffix, lower case.

    >>> key_of("003.PNG"), key_of("003.png.png")
    ('003', '003')
    """
    key = same_name(name)
    while any(key.endswith(suffix) and key != suffix for suffix in IMAGE_SUFFIXES):
        key = key.rpartition(".")[0]
    return key


def image_key_of(name: str) -> str | None:
    """Return the key of the image that a mask's name says it belongs to; None if it says nothing.

    >>> image_key_of("003_gt.png"), image_key_of("mask_003.png"), image_key_of("003.png")
    ('003', '003', None)
    """
    key = key_of(name)
    if match := _AFTER.search(key):
        return key[: match.start()]
    match = _BEFORE.match(key)
    return key[match.end() :] if match else None


@dataclass(frozen=True)
class Masks:
    """Masks of a folder of images.

    Attributes:
        exact: Files by the key of their own name, or of the folder that holds several.
        named: Files by the key of the image that their name contains, see `image_key_of`.
    """

    exact: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    named: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)

    @classmethod
    def by_name(cls, files: Iterable[Path]) -> "Masks":
        """Return the masks among single files, of which the first with a key counts."""
        exact: dict[str, tuple[Path, ...]] = {}
        named: dict[str, tuple[Path, ...]] = {}
        for file in files:
            if file.suffix.lower() not in MASK_SUFFIXES:
                continue
            exact.setdefault(key_of(file.name), (file,))
            if key := image_key_of(file.name):
                named.setdefault(key, (file,))
        return cls(exact, named)

    def of(self, image: Path) -> tuple[Path, ...]:
        """Return the masks of an image; empty if it has none.

        ``<stem>_mask.png`` comes before ``<stem>.png``, and both before other ways to name one.
        """
        key = key_of(image.name)
        return self.exact.get(f"{key}_mask") or self.exact.get(key) or self.named.get(key) or ()

    def __or__(self, other: "Masks") -> "Masks":
        """Return the masks of both; those of the first come first."""
        return Masks({**other.exact, **self.exact}, {**other.named, **self.named})


def masks_in(truth: Path, layout: str, nested: bool = True) -> Masks:
    """Return the masks of a folder; none if it does not exist.

    The masks of an image are a file that is named after it, see `Masks.of`, or the files in a
    folder of its name. The file may also lie in a folder called after its format, or ``masks``.

    Args:
        truth: Folder of masks.
        layout: Description of the expected layout for an error message.
        nested: Whether folders in it belong to images, and not to kinds of defects.

    Raises:
        DatasetError: A folder exists but cannot be listed.
    """
    try:
        listing = list_folder(truth, layout)
    except DatasetError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return Masks()
        raise
    inner = listing.folders if nested else []
    several = {key_of(name): _files(truth / name, layout) for name in inner}
    single = Masks.by_name(truth / name for name in listing.files)
    masks = Masks({**several, **single.exact}, single.named)
    for name in inner:
        if same_name(name) in _FORMATS or is_truth_folder(name, among_kinds=True):
            masks |= masks_in(truth / name, layout, nested=False)
    return masks


def masks_of_kind(
    truths: Sequence[Path], kind: Path, images: Path, path: Path, layout: str
) -> Masks:
    """Return the masks in the folders that belong to a kind of defect.

    These are, in each folder of masks, the folder of the kind and the one that repeats the path of
    the kind's images (``ground_truth/test/scratch``); and folders of masks among the images.

    Args:
        truths: Folders of masks.
        kind: Path of the kind's folder in each of them; empty for the folder itself.
        images: Folder of the kind's images.
        path: Folder of the category.
        layout: Description of the expected layout for an error message.

    Raises:
        DatasetError: A folder exists but cannot be listed.
    """
    repeated = images.relative_to(path)
    folders = [child(truth, *parts.parts) for parts in (kind, repeated) for truth in truths]
    masks = Masks()
    for folder in [*folders, *inner_truths(images, layout, among_kinds=not kind.parts)]:
        masks |= masks_in(folder, layout)
    return masks


class MissingMasksError(DatasetError):
    """Only some defects have masks, or the files where masks belong are not usable.

    Attributes:
        category: Category as read, without masks; `datasets_lib.verify` continues with it.
    """

    def __init__(self, message: str, category: Category) -> None:
        super().__init__(message)
        self.category = category


def with_masks(
    root: Path,
    category: Category,
    truth: str,
    truths: Iterable[Path],
    required: bool = False,
    may_own: Callable[[Path], bool] = lambda file: True,
    strays: Iterable[Path] = (),
) -> Category:
    """Set ``has_masks`` of a category after checking that all defects have masks or none has.

    Args:
        root: Folder of the category.
        category: Category as read.
        truth: Description of the mask folders for the error message.
        truths: Folders of masks; a file in them that belongs to no image is an error where images
            lack masks.
        required: Whether masks must exist, because a folder of masks exists.
        may_own: Returns whether a file in the folders of masks may be of this category.
        strays: Files in other folders of masks; one that is named after an image that lacks a mask
            is an error.

    Raises:
        MissingMasksError: Only some defects have masks; or none has, and masks are required or
            exist under other names, in other folders or in a format outside `MASK_SUFFIXES`.
        DatasetError: One mask belongs to two images.
    """
    defects = [sample for sample in category.test if sample.defect]
    _check_unique(category)
    missing = [sample for sample in defects if not sample.masks]
    if not missing:
        return replace(category, has_masks=bool(defects))
    category = replace(category, has_masks=False)
    used = {file for sample in defects for file in sample.files}
    keys = {key_of(sample.image.name) for sample in missing}
    folders = list(dict.fromkeys(sample.image.parent for sample in defects))
    inner = [truth for folder in folders for truth in inner_truths(folder, "")]
    possible = [file for file in _files_in([*truths, *inner]) if may_own(file)]
    images = [sample.image for sample in (*category.train, *category.test)]
    possible += [file for file in strays if _owners(file) & keys]
    possible += _doubtful([root, *folders], keys, images)
    hint = _unused([file for file in possible if file not in used], keys)
    if len(missing) == len(defects) and not required and not hint:
        return category
    first = missing[0]
    stem = first.image.stem
    raise MissingMasksError(
        f"{len(missing)} of {len(defects)} defect images of {root} have no mask, such as "
        f"{first.name}: wanted {stem}_mask.png or {stem}.png (or {in_words(MASK_SUFFIXES)}) in "
        f"{truth}{hint}. Add or rename the masks or their folders, or remove all of them to go "
        "without pixel metrics.",
        category,
    )


def _check_unique(category: Category) -> None:
    owners: dict[Path, str] = {}
    for sample in category.test:
        for mask in sample.masks:
            if (other := owners.setdefault(mask, sample.name)) != sample.name:
                raise DatasetError(
                    f"The mask {mask} would belong to two images, {other} and {sample.name}: "
                    "wanted one mask per image. Put the masks of each kind of defect into a folder "
                    "of its name."
                )


def _files_in(folders: Iterable[Path]) -> Iterator[Path]:
    """Yield the files below folders of masks, some of which may not exist, in order.

    Folders such as ``labels`` often hold annotations of other kinds: only their images count.
    """
    for folder in folders:
        is_certain = is_truth_folder(folder.name, among_kinds=True)
        for file in sorted(folder.rglob("*")):
            if any(map(is_junk, file.relative_to(folder).parts)):
                continue
            if file.suffix and (is_certain or is_image(file.name)):
                yield file


def _doubtful(folders: Iterable[Path], keys: set[str], images: Sequence[Path]) -> Iterator[Path]:
    """Yield files that may be masks, in folders that no reader searches.

    Such a folder in one of these has a word for masks in its name, such as ``scratch_masks`` or
    ``annotated``, and files named after images; or it has any name but holds none of the images,
    and its files' own names say whose masks they are, such as ``stuff/003_mask.png``. It may hold
    pictures to look at instead, so they are not used as masks.
    """
    read = {parent for image in images for parent in image.parents}
    for folder in folders:
        for name in list_folder(folder, "").folders:
            if is_truth_folder(name):
                continue
            files = [file for file in _files_in([folder / name]) if is_image(file.name)]
            if may_hold_masks(name):
                yield from (file for file in files if _owners(file) & keys)
            elif folder / name not in read:
                yield from (file for file in files if image_key_of(file.name) in keys)


def _unused(files: Iterable[Path], keys: set[str]) -> str:
    """Return a clause about the files that may be masks of images; empty if there are none."""
    elsewhere: list[Path] = []
    strangers: list[Path] = []
    for file in files:
        is_owned = bool(_owners(file) & keys)
        if file.suffix.lower() not in MASK_SUFFIXES and is_owned:
            return f"; {file} is not in a mask format"
        if is_image(file.name):
            (elsewhere if is_owned else strangers).append(file)
    found, where = (
        (elsewhere, "in other folders") if elsewhere else (strangers, "named after none of them")
    )
    return f"; found {', '.join(map(str, found[:_MAX_NAMES]))}, {where}" if found else ""


def _owners(file: Path) -> set[str | None]:
    """Return the keys of images that a file may be a mask of: by its name or by its folder's."""
    names = (file.name, file.stem)
    return {key(name) for name in names for key in (key_of, image_key_of)} | {
        key_of(file.parent.name)
    }


def _files(folder: Path, layout: str) -> tuple[Path, ...]:
    files = [folder / name for name in list_folder(folder, layout).files]
    return tuple(file for file in files if file.suffix.lower() in MASK_SUFFIXES)
