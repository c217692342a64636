"""The MVTec AD layout and its relatives: ``train/good``, ``test/<kind>``, ``ground_truth/<kind>``.

Datasets that differ in the names of these folders share this reader, see `FolderLayout`. Case and
Unicode normalization of names do not matter, and masks are also found in folders of other names,
see `masks.is_truth_folder`, next to their images, and next to the categories, see
`masks.truths_above`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from datasets_lib.layouts.beside import images_and_masks
from datasets_lib.layouts.category import Category, DatasetError, Sample
from datasets_lib.layouts.folders import (
    IMAGE_SUFFIXES,
    categories_in,
    child,
    composed,
    in_words,
    list_folder,
    relative_name,
    same_name,
)
from datasets_lib.layouts.masks import (
    inner_truths,
    is_truth_folder,
    masks_in,
    masks_of_kind,
    truths_above,
    with_masks,
)
from datasets_lib.layouts.split import NORMAL_NAMES


@dataclass(frozen=True)
class FolderLayout:
    """Names of the folders of a category.

    Attributes:
        normal: Folder of the normal images in each split.
        test: Folder of the test split, with one folder per kind.
        truth: Folder of the masks, with one folder per kind.
        validation: Folder of the publisher's validation split; empty for none.
    """

    normal: str = "good"
    test: str = "test"
    truth: str = "ground_truth"
    validation: str = ""

    @property
    def words(self) -> str:
        """Description of the layout for error messages."""
        validation = f"{self.validation}/{self.normal}, " if self.validation else ""
        return (
            f"train/{self.normal}, {validation}{self.test}/{self.normal}, {self.test}/<kind>, "
            f"{self.truth}/<kind>"
        )

    def find(self, root: Path) -> Mapping[str, Path] | None:
        """Return the categories in a folder by id; None if there are none.

        A category has a folder of normal training images and a test split.

        Raises:
            DatasetError: Two folders give the same id.
        """
        return categories_in(root, self._is_category)

    def read(self, dataset: str, category: str, path: Path) -> Category:
        """Read one category in natural order (``2.png`` before ``10.png``).

        Hidden files, files that are not images and masks without an image are skipped. A category
        without any mask has ``has_masks`` false.

        Raises:
            DatasetError: A folder is missing or unreadable, a split has no images, images lie
                deeper or share a name, only some defects have a mask, or masks have a format, a
                name or a folder that is not known.
        """
        train = self._normal(path, "train", "train on")
        validation = self._normal(path, self.validation, "calibrate on") if self.validation else ()
        folders = list_folder(child(path, self.test), self.words).folders
        # MVTec AD 2 keeps the ground truth inside the test split.
        kinds = [kind for kind in folders if not is_truth_folder(kind, among_kinds=True)]
        above, strays = truths_above(path, self._is_category)
        truths = [*self._truths(path), *above]
        samples = [sample for kind in kinds for sample in self._tested(path, kind, truths)]
        # The sort is stable: normal images come first, everything else keeps its order.
        test = sorted(samples, key=lambda sample: sample.defect is not None)
        if not test:
            raise DatasetError(
                f"{path / self.test} holds no image to test on: wanted {self.test}/{self.normal} "
                f"and {self.test}/<kind of defect> with files ending in "
                f"{in_words(IMAGE_SUFFIXES)}. Put the test images there."
            )
        whole = Category(dataset, category, train, tuple(test), False, validation)
        return with_masks(path, whole, f"{self.truth}/<kind>", truths, strays=strays)

    def _is_category(self, folder: Path) -> bool:
        # os.path.isdir returns False where Path.is_dir raises on an unreadable folder.
        return os.path.isdir(self._normal_folder(folder, "train")) and os.path.isdir(  # noqa: PTH112
            child(folder, self.test)
        )

    def _is_normal(self, kind: str) -> bool:
        return same_name(kind) in {same_name(self.normal), *NORMAL_NAMES}

    def _normal_folder(self, path: Path, split: str) -> Path:
        """Return the folder of normal images of a split: with the layout's name, or a synonym."""
        folder = child(path, split)
        candidates = (child(folder, name) for name in (self.normal, *sorted(NORMAL_NAMES)))
        return next((p for p in candidates if os.path.lexists(p)), folder / self.normal)

    def _truths(self, path: Path) -> list[Path]:
        """Return the folders of masks, the layout's own first."""
        test = child(path, self.test)
        others = inner_truths(path, self.words) + inner_truths(test, self.words, among_kinds=True)
        return list(dict.fromkeys([child(path, *self.truth.split("/")), *others]))

    def _normal(self, path: Path, split: str, purpose: str) -> tuple[Sample, ...]:
        folder = self._normal_folder(path, split)
        images, _ = images_and_masks(folder, self.words)
        if not images:
            raise DatasetError(
                f"{folder} holds no image to {purpose}: wanted at least one file ending in "
                f"{in_words(IMAGE_SUFFIXES)}. Put the normal images there."
            )
        return tuple(Sample(relative_name(image, path), image) for image in images)

    def _tested(self, path: Path, kind: str, truths: list[Path]) -> list[Sample]:
        folder = child(path, self.test) / kind
        images, masks = images_and_masks(folder, self.words)
        if self._is_normal(kind):
            return [Sample(relative_name(image, path), image) for image in images]
        masks |= masks_of_kind(truths, Path(kind), folder, path, self.words)
        for truth in truths:
            masks |= masks_in(truth, self.words, nested=False)
        defect = composed(kind)
        return [
            Sample(relative_name(image, path), image, masks.of(image), defect) for image in images
        ]


MVTEC = FolderLayout()
