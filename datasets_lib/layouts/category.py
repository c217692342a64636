"""What a reader says of a category before anything is decoded; imports no torch."""

from dataclasses import dataclass
from pathlib import Path


class DatasetError(Exception):
    """A dataset cannot be used; the message says what was wanted, found, and what to do."""


@dataclass(frozen=True)
class Sample:
    """One image on disk.

    Attributes:
        name: Path relative to the category, with ``/``, such as ``test/scratch/003.png``.
        image: Its file.
        masks: Its ground-truth files, of which the union is the truth; empty for normal images
            and for sets without masks.
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
        train: Normal images to fit on.
        test: Normal and defective images to judge on.
        has_masks: Whether every defective test image has a ground-truth mask.
        validation: Normal images of the publisher's own validation split, if there is one:
            neither fitted nor judged, they calibrate thresholds.
    """

    dataset: str
    name: str
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    has_masks: bool
    validation: tuple[Sample, ...] = ()
