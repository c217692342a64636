"""Samples of a category, as readers return them before decoding; imports no torch."""

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
