"""Read one file of CIFAR's Python version without executing anything that it names."""

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy._core.multiarray import _reconstruct

from datasets_lib.images.decode import UInt8
from datasets_lib.layouts.category import DatasetError

# The only names that an array needs. NumPy 2 renamed numpy.core; files of either are accepted.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


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
        file = path.open("rb")  # read as a stream: the whole file would be one more copy
    except OSError as error:
        raise refused(path, "a readable file", str(error)) from error
    try:
        with file, warnings.catch_warnings():
            # Python 2's arrays pass `align` as an integer, which NumPy 2.4 deprecates.
            warnings.simplefilter("ignore")
            content = _ArrayUnpickler(file, encoding="bytes").load()
    # A damaged pickle may raise nearly anything, from the virtual machine or from NumPy.
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
        raise refused(path, "a whole pickle of plain data", found) from error
    if not isinstance(content, dict):
        raise refused(path, "a dictionary", f"a {type(content).__name__}")
    return content


def to_array(value: object, path: Path, width: int) -> UInt8:
    """Return a pickled array as uint8 ``(N, width)``.

    Raises:
        DatasetError: It is no array, or has another type or shape.
    """
    wanted = f"'data' as a uint8 array of (N, {width})"
    if not isinstance(value, np.ndarray):
        raise refused(path, wanted, f"'data' as {type(value).__name__}")
    if value.dtype != np.uint8 or value.ndim != 2 or value.shape[1] != width or not len(value):
        raise refused(path, wanted, f"an array of {value.dtype} {value.shape}")
    return value


def refused(path: Path, wanted: str, found: str) -> DatasetError:
    """Return the error for a file that is not as expected."""
    return DatasetError(
        f"The file {path} cannot be used: wanted {wanted}, found {found}. Replace it by the one "
        "of the publisher's Python-version archive."
    )
