"""Read CIFAR-10 and CIFAR-100 from the pickles of their Python versions."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets_lib.images.decode import UInt8
from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.classification import Classification, PixelSplit
from datasets_lib.sets import cifar10, cifar100
from datasets_lib.sets.cifar_layout import CifarLayout
from datasets_lib.sets.cifar_pickle import load_pickle, refused, to_array

SIDE = 32


@dataclass(frozen=True, eq=False)
class _Batch:
    """One file: planar pixels (N, 3072) as red, green and blue planes, labels, file names."""

    planes: UInt8
    labels: list[int]
    names: list[str]


def read_cifar10(root: Path) -> Classification:
    """Return CIFAR-10; see `read_cifar`."""
    return read_cifar(cifar10.LAYOUT, root)


def read_cifar100(root: Path) -> Classification:
    """Return CIFAR-100 with its fine labels; see `read_cifar`."""
    return read_cifar(cifar100.LAYOUT, root)


def read_cifar(layout: CifarLayout, root: Path) -> Classification:
    """Return both splits in the order of their files, images ``(N, 32, 32, 3)``.

    Args:
        layout: Layout of the set.
        root: Folder of its files, or its parent.

    Raises:
        DatasetError: A file is missing, damaged, or not of that set.
    """
    folder = layout.locate(root)
    if folder is None:
        raise DatasetError(
            f"The folder {root} does not hold {layout.name}: wanted the file {layout.meta} there "
            f"or in {layout.folder}. Unpack the publisher's Python-version archive there."
        )
    classes = _strings(load_pickle(folder / layout.meta), layout.classes_key, folder / layout.meta)
    return Classification(
        layout.name,
        train=_split(layout, folder, "train", layout.train, tuple(classes)),
        test=_split(layout, folder, "test", (layout.test,), tuple(classes)),
    )


def _split(
    layout: CifarLayout, folder: Path, split: str, files: Sequence[str], classes: tuple[str, ...]
) -> PixelSplit:
    # The pickles hold planes of red, green and blue: (N, 3, 32, 32) becomes (N, 32, 32, 3).
    batches = [_read_batch(folder / file, layout, len(classes)) for file in files]
    names = _unique(f"{split}/{name}" for batch in batches for name in batch.names)
    images = np.empty((len(names), SIDE, SIDE, 3), np.uint8)
    start = 0
    for batch in batches:
        planes = batch.planes.reshape(-1, 3, SIDE, SIDE)
        images[start : start + len(planes)] = planes.transpose(0, 2, 3, 1)
        start += len(planes)
    labels = np.array([label for batch in batches for label in batch.labels], np.int64)
    return PixelSplit(classes, names, labels, images)


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    """Number repeated names: each split of CIFAR-100 has one name twice."""
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return tuple(unique)


def _read_batch(path: Path, layout: CifarLayout, classes: int) -> _Batch:
    content = load_pickle(path)
    planes = to_array(content.get(b"data"), path, 3 * SIDE * SIDE)
    names = _strings(content, b"filenames", path)
    key = layout.labels_key
    labels = content.get(key)
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise refused(path, f"'{key.decode()}' as a list of numbers", _kind(labels))
    if not len(planes) == len(labels) == len(names):
        counts = f"{len(planes):,} images, {len(labels):,} labels and {len(names):,} names"
        raise refused(path, "as many labels and file names as images", counts)
    if not all(0 <= label < classes for label in labels):
        found = f"labels from {min(labels)} to {max(labels)}"
        raise refused(path, f"labels from 0 to {classes - 1}", found)
    return _Batch(planes, labels, names)


def _strings(content: dict[bytes, object], key: bytes, path: Path) -> list[str]:
    values = content.get(key)
    wanted = f"'{key.decode()}' as a list of names"
    if not isinstance(values, list) or not values:
        raise refused(path, wanted, _kind(values))
    try:
        return [value.decode() for value in values]
    except (AttributeError, UnicodeDecodeError) as error:
        raise refused(path, wanted, str(error)) from None


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    return "an empty list" if value == [] else f"a {type(value).__name__} of something else"
