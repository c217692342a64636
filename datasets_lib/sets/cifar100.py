"""CIFAR-100: 32×32 photographs of a hundred classes; the fine labels are the task."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from datasets_lib.entry import Archive, Counts, DatasetEntry
from datasets_lib.sets.cifar_layout import CITATION, HOMEPAGE, LICENSE, CifarLayout

LAYOUT = CifarLayout(
    name="cifar100",
    folder="cifar-100-python",
    train=("train",),
    test="test",
    meta="meta",
    labels_key=b"fine_labels",
    classes_key=b"fine_label_names",
)

ENTRY = DatasetEntry(
    name="cifar100",
    title="CIFAR-100",
    task="classification",
    categories=(),
    license=LICENSE,
    citation=CITATION,
    homepage=HOMEPAGE,
    folders=("cifar_100", "cifar_100_python"),
    finder="datasets_lib.sets.cifar100:find",
    reader="datasets_lib.sets.cifar_reader:read_cifar100",
    counts=MappingProxyType({"": Counts(train=50_000, test=10_000)}),
    # As `data verify` counts them in the publisher's pixels.
    known_flaws=MappingProxyType(
        {"the same pixels in train and test": 10, "the same pixels under two labels": 2}
    ),
    image_size=32,
    archives=(
        Archive(
            file="cifar-100-python.tar.gz",
            urls=("https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",),
            bytes=169_001_437,
            sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
            md5="eb9058c3a382ffc7106e4002c42a8d85",
            strip="cifar-100-python",
        ),
    ),
)


def find(root: Path) -> Mapping[str, Path] | None:
    """Return no categories if the folder holds CIFAR-100's files; None if not."""
    return None if LAYOUT.locate(root) is None else {}
