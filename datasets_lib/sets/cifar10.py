"""CIFAR-10: 32×32 photographs of ten classes, in five training batches and one test batch."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from datasets_lib.entry import Archive, Counts, DatasetEntry
from datasets_lib.sets.cifar_layout import CITATION, HOMEPAGE, LICENSE, CifarLayout

LAYOUT = CifarLayout(
    name="cifar10",
    folder="cifar-10-batches-py",
    train=tuple(f"data_batch_{number}" for number in range(1, 6)),
    test="test_batch",
    meta="batches.meta",
    labels_key=b"labels",
    classes_key=b"label_names",
)

ENTRY = DatasetEntry(
    name="cifar10",
    title="CIFAR-10",
    task="classification",
    categories=(),
    license=LICENSE,
    citation=CITATION,
    homepage=HOMEPAGE,
    folders=("cifar_10", "cifar_10_batches_py", "cifar_10_python"),
    finder="datasets_lib.sets.cifar10:find",
    reader="datasets_lib.sets.cifar_reader:read_cifar10",
    counts=MappingProxyType({"": Counts(train=50_000, test=10_000)}),
    image_size=32,
    archives=(
        Archive(
            file="cifar-10-python.tar.gz",
            urls=("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",),
            bytes=170_498_071,
            sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            md5="c58f30108f718f92721af3b95e74349a",
            strip="cifar-10-batches-py",
        ),
    ),
)


def find(root: Path) -> Mapping[str, Path] | None:
    """Return no categories if the folder holds CIFAR-10's files; None if not."""
    return None if LAYOUT.locate(root) is None else {}
