"""Samples of a category, as readers return them before decoding; imports no torch."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path


class DatasetError(Exception):
    """A dataset cannot be used; the message says what was expected, what was found, what to do."""


@dataclass(frozen=True)
class Sample:
    """One image on disk.

    Attributes:
        name: Path relative to the category, with ``/``, such as ``test/scratch/003.png``.
        image: Image file.
        masks: Ground-truth files, whose union is the mask; empty for normal images and for sets
            without masks.
        defect: Kind of defect, or None for a normal image.
    """

    name: str
    image: Path
    masks: tuple[Path, ...] = ()
    defect: str | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The image and its masks."""
        return (self.image, *self.masks)


@dataclass(frozen=True)
class Category:
    """The samples of one category, in a stable order.

    Attributes:
        train: Normal training images.
        test: Normal and defective test images.
        has_masks: Whether every defective test image has a ground-truth mask.
        validation: Normal images of the publisher's validation split, if any; they calibrate
            thresholds only.
    """

    dataset: str
    name: str
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    has_masks: bool = False
    validation: tuple[Sample, ...] = ()


def check_category(category: object, name: str) -> None:
    """Check what a reader returned, without looking at the files.

    Args:
        category: The value that it returned.
        name: Dataset and category, for the message.

    Raises:
        DatasetError: It is not a `Category` of samples, two samples of a split share a name, a
            training image is defective, or a defective one lacks the mask that it should have; the
            message says what to change in the reader.
    """
    if not isinstance(category, Category):
        kind = "nothing (None)" if category is None else f"a {type(category).__name__}"
        raise DatasetError(
            f"The reader of {name} returned {kind}: wanted a Category "
            "(datasets_lib/layouts/category.py). Return one."
        )
    for split in ("train", "test", "validation"):
        samples = getattr(category, split)
        problem = _problem(samples) or _not_normal(split, samples)
        if not problem and category.has_masks:
            problem = _without_mask(samples)
        if problem:
            raise DatasetError(f"The reader of {name}, {split}: {problem}")


def _problem(samples: object) -> str:
    if not isinstance(samples, tuple):
        return f"wanted a tuple of samples, found a {type(samples).__name__}. Write tuple(...)."
    for sample in samples:
        if not isinstance(sample, Sample):
            return f"wanted samples, found a {type(sample).__name__}. Make each a Sample."
        if not all(isinstance(file, Path) for file in sample.files):
            return f"wanted files as pathlib.Path, found {sample.files}. Write Path(...)."
    name, count = Counter(s.name for s in samples).most_common(1)[0] if samples else ("", 0)
    if count > 1:
        return f"wanted a unique name for each sample, found '{name}' {count} times."
    return ""


def _not_normal(split: str, samples: tuple[Sample, ...]) -> str:
    defects = [sample.name for sample in samples if sample.defect is not None]
    if split == "test" or not defects:
        return ""
    return (
        f"wanted normal images alone, found {len(defects)} with a defect, such as {defects[0]}. "
        "Defective images belong in test."
    )


def _without_mask(samples: tuple[Sample, ...]) -> str:
    bare = [sample.name for sample in samples if sample.defect is not None and not sample.masks]
    if not bare:
        return ""
    return (
        f"wanted a mask for every defective image, as has_masks=True says, found {len(bare)} "
        f"without, such as {bare[0]}. Give masks=(file,), or leave out has_masks."
    )
