"""Read the Python versions of CIFAR-10 and CIFAR-100.

Their files are pickles: loading them imports only what an array needs.
"""

from __future__ import annotations

import pickle
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy._core.multiarray import _reconstruct

from datasets_lib.images.decode import UInt8
from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.classification import Classification, PixelSplit

if TYPE_CHECKING:
    from datasets_lib.sets.cifar import CifarLayout

SIDE = 32

# The only names that an array needs. NumPy 2 renamed numpy.core; files of either are accepted.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


@dataclass(frozen=True, eq=False)
class _Batch:
    """One file: planar pixels (N, 3072) as red, green and blue planes, labels, file names."""

    planes: UInt8
    labels: list[int]
    names: list[str]


def read_cifar(layout: CifarLayout, root: Path) -> Classification:
    """Read the files that a layout names; see `CifarLayout.read`."""
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
        raise _refused(path, f"'{key.decode()}' as a list of numbers", _kind(labels))
    if not len(planes) == len(labels) == len(names):
        counts = f"{len(planes):,} images, {len(labels):,} labels and {len(names):,} names"
        raise _refused(path, "as many labels and file names as images", counts)
    if not all(0 <= label < classes for label in labels):
        found = f"labels from {min(labels)} to {max(labels)}"
        raise _refused(path, f"labels from 0 to {classes - 1}", found)
    return _Batch(planes, labels, names)


def _strings(content: dict[bytes, object], key: bytes, path: Path) -> list[str]:
    values = content.get(key)
    wanted = f"'{key.decode()}' as a list of names"
    if not isinstance(values, list) or not values:
        raise _refused(path, wanted, _kind(values))
    try:
        return [value.decode() for value in values]
    except (AttributeError, UnicodeDecodeError) as error:
        raise _refused(path, wanted, str(error)) from None


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    return "an empty list" if value == [] else f"a {type(value).__name__} of something else"


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler of plain data and arrays; no other name is ever imported."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"a reference to {module}.{name}, which is forbidden")
        return _ALLOWED[module, name]


def load_pickle(path: Path) -> dict[bytes, Any]:
    """Return the dictionary of a pickle; Python 2's strings are bytes.

    Raises:
        DatasetError: The file cannot be read, is damaged, or holds anything but plain data.
    """
    try:
        file = path.open("rb")  # read as a stream: reading the bytes first would make another copy
    except OSError as error:
        raise DatasetError(
            f"The file {path} cannot be read: {error.strerror}. Check that it exists and that "
            "you have permission to read it."
        ) from error
    try:
        with file, warnings.catch_warnings():
            # Python 2's arrays pass `align` as an integer, which NumPy 2.4 deprecates.
            warnings.simplefilter("ignore")
            content = _ArrayUnpickler(file, encoding="bytes").load()
    # A damaged pickle may raise nearly anything, from the virtual machine or from NumPy.
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
        raise _refused(path, "a whole pickle of plain data", found) from error
    if not isinstance(content, dict):
        raise _refused(path, "a dictionary", f"a {type(content).__name__}")
    return content


def to_array(value: object, path: Path, width: int) -> UInt8:
    """Return a pickled array as uint8 ``(N, width)``.

    Raises:
        DatasetError: It is not an array, or has another type or shape.
    """
    wanted = f"'data' as a uint8 array of (N, {width})"
    if not isinstance(value, np.ndarray):
        raise _refused(path, wanted, f"'data' as {type(value).__name__}")
    if value.dtype != np.uint8 or value.ndim != 2 or value.shape[1] != width or not len(value):
        raise _refused(path, wanted, f"an array of {value.dtype} {value.shape}")
    return value


def _refused(path: Path, wanted: str, found: str) -> DatasetError:
    """Return the error for a file that is not as expected."""
    return DatasetError(
        f"The file {path} cannot be used: wanted {wanted}, found {found}. Replace it by the one "
        "of the publisher's Python-version archive."
    )
