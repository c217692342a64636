"""File layout shared by the Python versions of CIFAR-10 and CIFAR-100; imports no NumPy."""

from dataclasses import dataclass
from pathlib import Path

from datasets_lib.layouts.folders import marked_folder

HOMEPAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
LICENSE = "none stated by the publisher; cite the report"
CITATION = "Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009"


@dataclass(frozen=True)
class CifarLayout:
    """Files of one set and the keys of their dictionaries.

    Attributes:
        name: The dataset's id.
        folder: Top folder of its archive.
        train: Files of the training batches.
        test: File of the test batch.
        meta: File of the class names.
        labels_key: Key of a batch's labels.
        classes_key: Key of the class names in ``meta``.
    """

    name: str
    folder: str
    train: tuple[str, ...]
    test: str
    meta: str
    labels_key: bytes
    classes_key: bytes

    def locate(self, root: Path) -> Path | None:
        """Return the folder of the files: the root, or the archive's top folder in it."""
        return marked_folder(root, (self.folder,), self.meta)
