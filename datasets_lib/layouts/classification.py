"""What a reader says of a classification set: its classes and its two splits; imports no NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from datasets_lib.layouts.category import Sample

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class PixelSplit:
    """Images that a publisher stores as pixels.

    Attributes:
        classes: Names of the classes; a label is a place in it.
        names: One for each image, none twice.
        labels: int64 (N,).
        images: uint8 RGB (N, H, W, 3).
    """

    classes: tuple[str, ...]
    names: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    images: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class FileSplit:
    """Images that lie in files.

    Attributes:
        classes: Names of the classes; a label is a place in it.
        samples: The files; each sample's name is the image's.
        labels: One for each sample.
    """

    classes: tuple[str, ...]
    samples: tuple[Sample, ...]
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the samples."""
        return tuple(sample.name for sample in self.samples)


Labeled = PixelSplit | FileSplit


@dataclass(frozen=True, eq=False)
class Classification:
    """A classification set.

    Attributes:
        name: The dataset's id.
        train: Images to fit on, in the publisher's order: often sorted by class, so shuffle them.
        test: Images to judge on.
    """

    name: str
    train: Labeled
    test: Labeled

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, the same in both splits."""
        return self.train.classes
