"""The MVTec AD layout and its relatives: ``train/good``, ``test/<kind>``, ``ground_truth/<kind>``.

Datasets that differ in the names of these folders share this reader, see `FolderLayout`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from datasets_lib.layouts.category import Category, DatasetError, Sample
from datasets_lib.layouts.folders import (
    IMAGE_SUFFIXES,
    categories_in,
    in_words,
    list_folder,
    list_images,
)
from datasets_lib.layouts.masks import masks_by_stem, masks_of, with_masks


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
            DatasetError: A folder is missing or unreadable, a split has no images, only some
                defects have a mask, or masks have a format that is not supported.
        """
        train = self._normal(path, "train", "train on")
        validation = self._normal(path, self.validation, "calibrate on") if self.validation else ()
        kinds = [kind for kind in self._listed(path, self.test) if self._is_kind(kind)]
        samples = [sample for kind in kinds for sample in self._tested(path, kind)]
        # The sort is stable: normal images come first, everything else keeps its order.
        test = sorted(samples, key=lambda sample: sample.defect is not None)
        if not test:
            raise DatasetError(
                f"{path / self.test} holds no image to test on: wanted {self.test}/{self.normal} "
                f"and {self.test}/<kind of defect> with files ending in "
                f"{in_words(IMAGE_SUFFIXES)}. Put the test images there."
            )
        whole = Category(dataset, category, train, tuple(test), False, validation)
        folders = [path / self.truth / kind for kind in kinds]
        return with_masks(path, whole, f"{self.truth}/<kind>", folders)

    def _is_category(self, folder: Path) -> bool:
        # os.path.isdir returns False where Path.is_dir raises on a folder it may not enter.
        return os.path.isdir(folder / "train" / self.normal) and os.path.isdir(folder / self.test)  # noqa: PTH112

    def _is_kind(self, folder: str) -> bool:
        # MVTec AD 2 keeps the ground truth inside the test split.
        return f"{self.test}/{folder}" != self.truth

    def _listed(self, path: Path, split: str) -> list[str]:
        return list_folder(path / split, self.words).folders

    def _normal(self, path: Path, split: str, purpose: str) -> tuple[Sample, ...]:
        folder = path / split / self.normal
        images = list_images(folder, self.words)
        if not images:
            raise DatasetError(
                f"{folder} holds no image to {purpose}: wanted at least one file ending in "
                f"{in_words(IMAGE_SUFFIXES)}. Put the normal images there."
            )
        return tuple(Sample(image.relative_to(path).as_posix(), image) for image in images)

    def _tested(self, path: Path, kind: str) -> list[Sample]:
        defect = None if kind == self.normal else kind
        masks = masks_by_stem(path / self.truth / kind, self.words) if defect else {}
        return [
            Sample(image.relative_to(path).as_posix(), image, masks_of(image.stem, masks), defect)
            for image in list_images(path / self.test / kind, self.words)
        ]


MVTEC = FolderLayout()


def find_categories(root: Path) -> Mapping[str, Path] | None:
    """Return the categories of the MVTec AD layout, see `FolderLayout.find`."""
    return MVTEC.find(root)


def read_category(dataset: str, category: str, path: Path) -> Category:
    """Read a category of the MVTec AD layout, see `FolderLayout.read`."""
    return MVTEC.read(dataset, category, path)
