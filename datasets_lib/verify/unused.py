"""Find files that a reader ignored: masks without an image, images in other folders.

Uses file names and the samples that were read, so that one search serves all layouts.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from datasets_lib.layouts.category import Sample
from datasets_lib.layouts.data_info import IMAGES
from datasets_lib.layouts.folders import (
    child,
    composed,
    files_below,
    first_names,
    folder_id,
    in_words,
    is_image,
    relative_name,
)
from datasets_lib.layouts.masks import MASK_SUFFIXES, image_key_of, is_truth_folder, key_of
from datasets_lib.layouts.plain_folders import ABNORMAL_NAMES
from datasets_lib.verify.images import Problem


class Unused:
    """Files of a folder that are not among the samples that were read from it.

    Args:
        path: Folder of a category, or of a set without categories.
        samples: The samples of all splits.
        category: Name of the category, if any.
    """

    def __init__(self, path: Path, samples: Sequence[Sample], category: str = "") -> None:
        self._path = path
        used = {file for sample in samples for file in sample.files}
        # Several categories share a folder where only file names distinguish them.
        shared = child(path, IMAGES).is_dir()
        files = [file for file in files_below(path) if not shared or _is_named(file, category)]
        images = [file for file in files if is_image(file.name) and not self._is_truth(file)]
        self._images = {_place(image.parent, key_of(image.name)) for image in images}
        self._unmasked = {
            _place(sample.image.parent, key_of(sample.image.name))
            for sample in samples
            if sample.defect and not sample.masks
        }
        self._normal = {
            (sample.image.parent, key_of(sample.image.name))
            for sample in samples
            if not sample.defect
        }
        self._image_folders = {sample.image.parent for sample in samples}
        self._kinds = self._image_folders - {path}
        unused = [file for file in files if file not in used]
        self._truth = [file for file in unused if self._is_truth(file)]
        self._others = [file for file in unused if not self._is_truth(file)]

    def images(self) -> Iterable[Problem]:
        """Yield images in folders below those that were read, which were expected to be read."""
        for file in self._others:
            if self._is_deeper(file):
                yield Problem(
                    "image deeper than the folders that are read",
                    relative_name(file, self._path),
                )

    def masks(self) -> Iterable[Problem]:
        """Yield masks without an image, and masks that no reader associates with their image."""
        for file in self._truth:
            name = relative_name(file, self._path)
            if file.suffix.lower() not in MASK_SUFFIXES:
                if _owners(file) & self._images:
                    yield Problem(f"mask of another format than {in_words(MASK_SUFFIXES)}", name)
            elif not _owners(file) & self._images:
                yield Problem("mask without an image", name)
            elif _owners(file) & self._unmasked:
                yield Problem("mask in a folder that is not searched", name)

    def notes(self) -> Iterable[str]:
        """Yield counts of images in unread folders, and of other files next to images.

        Files next to normal images that were taken for masks are named: one may be an image.
        """
        # Folders of samples and their parents, but not the category itself: it may hold anything.
        searched = self._image_folders | {folder.parent for folder in self._image_folders}
        searched -= {self._path} - self._image_folders
        neighbors = [file for file in self._others if not searched.isdisjoint(file.parents)]
        away = [f for f in neighbors if is_image(f.name) and f.parent not in self._image_folders]
        if count := sum(not self._is_deeper(file) for file in away):
            yield f"{count:,} images in other folders ignored"
        if taken := [relative_name(f, self._path) for f in self._others if self._is_left_out(f)]:
            yield f"{len(taken):,} masks next to normal images not used: {first_names(taken)}"
        suffixes = Counter(f.suffix.lower() or f.name for f in neighbors if not is_image(f.name))
        if suffixes:
            yield f"{suffixes.total():,} files ignored ({', '.join(sorted(suffixes)[:5])})"

    def _is_deeper(self, file: Path) -> bool:
        """Return whether a file is an image in a folder that lies in a folder of images."""
        if not is_image(file.name) or file.parent in self._image_folders:
            return False
        return not self._kinds.isdisjoint(file.parents)

    def _is_left_out(self, file: Path) -> bool:
        """Return whether a file was taken for the mask of a normal image next to it."""
        keys = (key_of(file.name), image_key_of(file.name))
        return is_image(file.name) and any((file.parent, key) in self._normal for key in keys)

    def _is_truth(self, file: Path) -> bool:
        folders = file.relative_to(self._path).parts[:-1]
        return any(map(is_truth_folder, folders))


def _owners(file: Path) -> set[tuple[str, str]]:
    """Return the images that a mask may belong to, by its own name or by its folder's."""
    names = (file.parent, file.name), (file.parent.parent, file.parent.name)
    return {
        _place(kind, key)
        for kind, name in names
        for key in (key_of(name), image_key_of(name))
        if key is not None
    }


def _place(kind: Path, stem: str) -> tuple[str, str]:
    """Return a stem with the defect kind, the name of its folder; empty above the kinds."""
    is_above = kind.name.lower() in ABNORMAL_NAMES or is_truth_folder(kind.name)
    return "" if is_above else composed(kind.name), stem


def _is_named(file: Path, category: str) -> bool:
    """Return whether the first word of a file or of its folder of masks is a category."""
    names = (file.stem, file.parent.name)
    return category in {folder_id(name.partition(" ")[0]) for name in names}
