"""CIFAR-10 and CIFAR-100: 32×32 photographs of ten and of a hundred classes; imports no NumPy.

CIFAR-10 has five training batches and one test batch. The labels of CIFAR-100 are the fine ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from datasets_lib.entry import Archive, Counts, DatasetEntry
from datasets_lib.layouts.folders import folder_id, marked_folder

if TYPE_CHECKING:
    from datasets_lib.layouts.classification import Classification

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

    def find(self, root: Path) -> Mapping[str, Path] | None:
        """Return no categories if the folder holds the files of the set; None if not."""
        return None if self.locate(root) is None else {}

    def read(self, root: Path) -> "Classification":
        """Return the set, images ``(N, 32, 32, 3)``.

        Args:
            root: Folder of its files, or its parent.

        Raises:
            DatasetError: A file is missing or damaged, or belongs to another set.
        """
        from datasets_lib.sets.cifar_reader import read_cifar

        return read_cifar(self, root)


CIFAR10_LAYOUT = CifarLayout(
    name="cifar10",
    folder="cifar-10-batches-py",
    train=tuple(f"data_batch_{number}" for number in range(1, 6)),
    test="test_batch",
    meta="batches.meta",
    labels_key=b"labels",
    classes_key=b"label_names",
)

CIFAR100_LAYOUT = CifarLayout(
    name="cifar100",
    folder="cifar-100-python",
    train=("train",),
    test="test",
    meta="meta",
    labels_key=b"fine_labels",
    classes_key=b"fine_label_names",
)


def _entry(
    layout: CifarLayout, title: str, size: int, sha256: str, md5: str, **fields: Any
) -> DatasetEntry:
    """Return the entry of one set; the arguments are its title and its archive's checksums."""
    file = f"{title.lower()}-python.tar.gz"
    archive = Archive(
        file=file,
        urls=(f"https://www.cs.toronto.edu/~kriz/{file}",),
        bytes=size,
        sha256=sha256,
        md5=md5,
        strip=layout.folder,
    )
    spelled = title.lower().replace("-", "_")
    return DatasetEntry(
        name=layout.name,
        title=title,
        task="classification",
        categories=(),
        license=LICENSE,
        citation=CITATION,
        homepage=HOMEPAGE,
        folders=tuple(dict.fromkeys((spelled, folder_id(layout.folder), f"{spelled}_python"))),
        finder=layout.find,
        reader=layout.read,
        counts=MappingProxyType({"": Counts(train=50_000, test=10_000)}),
        image_size=32,
        archives=(archive,),
        **fields,
    )


CIFAR10 = _entry(
    CIFAR10_LAYOUT,
    "CIFAR-10",
    170_498_071,
    sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    md5="c58f30108f718f92721af3b95e74349a",
)

CIFAR100 = _entry(
    CIFAR100_LAYOUT,
    "CIFAR-100",
    169_001_437,
    sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
    md5="eb9058c3a382ffc7106e4002c42a8d85",
    # As `data verify` counts them in the publisher's pixels.
    known_flaws=MappingProxyType(
        {"the same pixels in train and test": 10, "the same pixels under two labels": 2}
    ),
)
