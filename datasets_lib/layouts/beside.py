"""Images of one folder, such as a kind of defect, and the masks that lie next to them."""

from collections.abc import Iterable, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.folders import in_words, list_images
from datasets_lib.layouts.masks import (
    MASK_SUFFIXES,
    Masks,
    deeper_images,
    image_key_of,
    key_of,
    may_hold_masks,
)

MASK_VALUES = 16
"""Most gray levels that `looks_like_mask` accepts: some masks number the kinds of defects."""

MASK_BLACK = 0.1
"""Least share of black in a mask with soft edges.

Of 427 photographs, at most 0.3 % is black; of 132 masks resized by half, at least 49 %.
"""


def images_and_masks(
    folder: Path, layout: str, has_kinds: bool = False
) -> tuple[list[Path], Masks]:
    """List the images of a folder in natural order, apart from the masks that lie next to them.

    A file is a mask if its name says so and another file has the name of its image; or if it has
    the name of a JPEG or WebP, as the magnetic tiles are published, and looks like a mask.

    Args:
        folder: Folder of normal images or of a kind of defect.
        layout: Description of the expected layout for an error message.
        has_kinds: Whether the folders in it are kinds of defects, which are read by themselves.

    Raises:
        DatasetError: The folder cannot be listed, images lie in folders in it or have a format that
            is not read, a file with the name of a mask has a format that is not exact or looks like
            a photograph, or it is not clear which of several files of one name is the image.
    """
    files = list_images(folder, layout)
    keys = {key_of(file.name) for file in files}
    if not has_kinds:
        _check_not_deeper(folder, layout, keys)
    named = {file for file in files if image_key_of(file.name) in keys}
    _check_named([file for file in files if file in named])
    images = [file for file in files if file not in named]
    masks = Masks(named=Masks.by_name(file for file in files if file in named).named)
    if len({key_of(image.name) for image in images}) == len(images):
        return images, masks
    beside = _masks_of_jpegs(images, masks)
    images = [image for image in images if image not in beside]
    return images, Masks(Masks.by_name(beside).exact, masks.named)


def _check_named(masks: Sequence[Path]) -> None:
    """Check files whose names say that they are masks of others: a photograph may say so too."""
    if inexact := next((file for file in masks if file.suffix.lower() not in MASK_SUFFIXES), None):
        raise DatasetError(
            f"{inexact} has the name of a mask of the image next to it, and ends in "
            f"{inexact.suffix}: wanted masks as {in_words(MASK_SUFFIXES)}, whose pixels are exact. "
            "If it is an image, rename it; if it is a mask, save it again from its source."
        )
    with ThreadPoolExecutor() as pool:  # Pillow releases the GIL; 5 ms for a megapixel
        found = zip(masks, pool.map(_is_photograph, masks), strict=True)
        others = [file for file, is_photograph in found if is_photograph]
    if others:
        raise DatasetError(
            f"{others[0]} has the name of a mask of the image next to it, and looks like a "
            f"photograph: it has over {MASK_VALUES} values, and colors or little black. So have "
            f"{len(others):,} of {len(masks):,} files with such names in its folder. If they are "
            "images, rename them; if they are masks, move them into the folder "
            f"masks/{others[0].parent.name} of their category."
        )


def _is_photograph(file: Path) -> bool:
    """Return whether a file holds many levels, and colors or little black; no if it is damaged.

    Masks with soft edges, as resizing leaves them, hold many levels, but black is common. What
    reads a damaged mask names it, and so does verification, with all that it finds.
    """
    try:
        content = _content(file)
    except DatasetError:
        return False
    return content.levels > MASK_VALUES and (content.has_colors or content.black < MASK_BLACK)


def _check_not_deeper(folder: Path, layout: str, keys: Set[str]) -> None:
    """Check that a folder of images has no further images in folders in it.

    Args:
        folder: Folder of images.
        layout: Description of the expected layout.
        keys: Keys of the files directly in it; other renderings and masks of these are no further
            images.
    """
    for image in deeper_images(folder):
        inner = image.relative_to(folder).parts[0]
        names = {key_of(image.name), image_key_of(image.name)}
        if keys and (may_hold_masks(inner) or not names.isdisjoint(keys)):
            continue
        found = "some images itself and others" if keys else "no image itself, but some"
        raise DatasetError(
            f"{folder} holds {found} in folders in it, such as {image}: wanted images directly in "
            f"the folders of {layout}. Move them up into {folder.name}, or move their folders to "
            "where kinds of defects belong."
        )


def _masks_of_jpegs(images: Iterable[Path], named: Masks) -> set[Path]:
    """Return the files that are masks of JPEGs or WebPs of the same name.

    Args:
        images: Files of a folder.
        named: Masks next to them whose names say so.

    Raises:
        DatasetError: Other files have the same name.
    """
    groups: dict[str, list[Path]] = {}
    for image in images:
        groups.setdefault(key_of(image.name), []).append(image)
    return {
        _mask_among([*group, *named.named.get(key, ())])
        for key, group in groups.items()
        if len(group) > 1
    }


def _mask_among(files: Sequence[Path]) -> Path:
    """Return the mask of a pair of files of one name.

    Raises:
        DatasetError: They are no pair of a JPEG or WebP and a mask.
    """
    doubt = ""
    masks = [file for file in files if file.suffix.lower() in MASK_SUFFIXES]
    if len(files) == 2 and len(masks) == 1:  # the other is a JPEG or WebP
        if looks_like_mask(masks[0]):
            return masks[0]
        doubt = f", and {masks[0].name} has over {MASK_VALUES} values or no black, unlike a mask"
    first, second, *_ = files
    raise DatasetError(
        f"{first} and {second} have one name{doubt}: wanted one image of each name in a folder, or "
        f"a JPEG and its mask. If one is a mask, rename it to {first.stem}_mask.png; if both are "
        "images, rename or remove one."
    )


def looks_like_mask(file: Path) -> bool:
    """Return whether a file holds few gray levels, black among them, or one: no photograph does.

    Raises:
        DatasetError: The file cannot be read or is damaged.
    """
    content = _content(file)
    return content.levels == 1 or (content.levels <= MASK_VALUES and content.black > 0)


class _Content(NamedTuple):
    """What the pixels of a file show.

    Attributes:
        levels: Number of gray levels.
        black: Share of pixels that are black.
        has_colors: Whether the channels of a file of more than `MASK_VALUES` levels differ.
    """

    levels: int
    black: float
    has_colors: bool


def _content(file: Path) -> _Content:
    """Return what a file shows, which is decoded once, until it changes.

    Raises:
        DatasetError: The file cannot be read or is damaged.
    """
    try:
        facts = file.stat()
    except OSError as error:
        raise _undecoded(file, error) from error
    return _decoded(file, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=1 << 16)  # all cases of a category list its files
def _decoded(file: Path, _changed: int, _size: int) -> _Content:
    # Imported here: this module is imported at collection and must stay light.
    import numpy as np
    from PIL import Image

    try:
        with Image.open(file) as image:
            image.load()
            image.info.pop("transparency", None)  # Pillow warns of it where there is a palette
            if image.mode.startswith(("I", "F")):  # more than 8 bits, which L would clip
                pixels = np.asarray(image)
                black = np.count_nonzero(pixels == 0) / pixels.size
                return _Content(np.unique(pixels).size, black, has_colors=False)
            counts = image.convert("L").histogram()
            levels = sum(count > 0 for count in counts)
            bands = image.convert("RGB").split() if levels > MASK_VALUES else ()
            has_colors = len({band.tobytes() for band in bands}) > 1
            return _Content(levels, counts[0] / sum(counts), has_colors)
    except Exception as error:  # decoders raise any exception on damaged files
        raise _undecoded(file, error) from error


def _undecoded(file: Path, error: Exception) -> DatasetError:
    return DatasetError(
        f"The file {file} cannot be decoded, to see whether it is the mask of the image next "
        f"to it: {error}. Restore it from its source or remove it."
    )
