"""Classes and splits of a classification set, as readers return them; imports no NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from datasets_lib.layouts.category import Sample

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class PixelSplit:
    """A split whose images the publisher stores as pixels.

    Attributes:
        classes: Class names; a label is an index into them.
        names: Unique name of each image.
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
    """A split whose images are files.

    Attributes:
        classes: Class names; a label is an index into them.
        samples: Image files with their names.
        labels: Label of each sample.
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
        name: Dataset id.
        train: Training images in the publisher's order, which is often sorted by class.
        test: Test images.
    """

    name: str
    train: Labeled
    test: Labeled

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, the same in both splits."""
        return self.train.classes
