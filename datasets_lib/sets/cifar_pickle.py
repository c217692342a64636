"""One file of CIFAR's Python version: its dictionary, and the array in it."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from datasets_lib.images.decode import UInt8, read_file
from datasets_lib.layouts.category import DatasetError
from datasets_lib.sets.python2_pickle import Call, DamagedPickle, read_pickle


def load_pickle(path: Path) -> dict[bytes, Any]:
    """The dictionary of a pickle; its strings are bytes, its arrays wait for `to_array`.

    Raises:
        DatasetError: The file cannot be read, is damaged, or holds anything else.
    """
    try:
        content = read_pickle(read_file(path))
    except DamagedPickle as error:
        raise refused(path, "a whole pickle of plain data", str(error)) from error
    if not isinstance(content, dict):
        raise refused(path, "a dictionary", f"a {type(content).__name__}")
    return content


def to_array(value: object, path: Path, width: int) -> UInt8:
    """A pickled array of uint8 as (N, width), read-only; shares the bytes of the pickle.

    Raises:
        DatasetError: It is another array, or none.
    """
    wanted = f"'data' as a uint8 array of (N, {width})"
    match value:
        case Call(
            name="numpy.core.multiarray._reconstruct",
            # Version, shape, data type, whether column-major, bytes.
            state=(
                _,
                (int(rows), int(columns)) as shape,
                Call(name="numpy.dtype", arguments=(b"u1", *_)),
                bool(column_major),
                bytes(raw),
            ),
        ):
            if columns != width or rows < 1:
                raise refused(path, wanted, f"an array of {shape}")
            if len(raw) != math.prod(shape):
                raise refused(path, wanted, f"{len(raw):,} bytes for an array of {shape}")
            return np.frombuffer(raw, np.uint8).reshape(shape, order="F" if column_major else "C")
        case Call():
            raise refused(path, wanted, "an array of another type or shape")
        case _:
            raise refused(path, wanted, f"'data' as {type(value).__name__}")


def refused(path: Path, wanted: str, found: str) -> DatasetError:
    """The error of a file that is not what it should be."""
    return DatasetError(
        f"The file {path} cannot be used: wanted {wanted}, found {found}. Replace it by the one "
        "of the publisher's Python-version archive."
    )
