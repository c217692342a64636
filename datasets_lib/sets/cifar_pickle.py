"""Reads pickles that Python 2 wrote of dictionaries, lists, numbers, strings and uint8 arrays.

A pickle is a program. This reader runs none of it: only the opcodes such files need are known, no
name in the file is ever imported, and arrays are put together here, from bytes whose number is
checked. It is the interpreter in Python, not in C, because the latter allocates as many memo slots
as a damaged file says; on CIFAR-100's 200,000 opcodes the difference is a fraction of a second.
"""

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from datasets_lib.decode import UInt8
from datasets_lib.layout import DatasetError

_OPCODES = (
    *(pickle.PROTO, pickle.STOP, pickle.MARK, pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE),
    *(pickle.INT, pickle.BININT, pickle.BININT1, pickle.BININT2),
    *(pickle.STRING, pickle.BINSTRING, pickle.SHORT_BINSTRING),
    *(pickle.EMPTY_DICT, pickle.DICT, pickle.SETITEM, pickle.SETITEMS),
    *(pickle.EMPTY_LIST, pickle.LIST, pickle.APPEND, pickle.APPENDS),
    *(pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    *(pickle.PUT, pickle.BINPUT, pickle.LONG_BINPUT, pickle.GET, pickle.BINGET, pickle.LONG_BINGET),
    *(pickle.GLOBAL, pickle.REDUCE, pickle.BUILD),
)


class _Built:
    """Stands for what the file asks NumPy to make: the arguments and the state, untouched."""

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments
        self.state: object = None


class _Array(_Built):
    """An array: its state is (version, shape, data type, column-major, bytes)."""


class _Type(_Built):
    """A data type: its first argument is its name."""


_KNOWN: dict[tuple[str, str], object] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy", "dtype"): _Type,
    ("numpy", "ndarray"): "numpy.ndarray",
}


class _Unpickler(pickle._Unpickler):
    """Python's own interpreter with most of its instructions taken away."""

    dispatch = {code[0]: pickle._Unpickler.dispatch[code[0]] for code in _OPCODES}  # noqa: RUF012
    stack: list[Any]

    def find_class(self, module: str, name: str) -> object:
        """The stand-in of a name; never an import."""
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no part of an array")
        return _KNOWN[module, name]

    def load_build(self) -> None:
        """Hands a stand-in its state, where Python's would set attributes of anything."""
        state = self.stack.pop()
        if not isinstance(self.stack[-1], _Built):
            raise pickle.UnpicklingError(f"it sets the state of a {type(self.stack[-1]).__name__}")
        self.stack[-1].state = state

    dispatch[pickle.BUILD[0]] = load_build  # type: ignore[assignment]


def load_pickle(path: Path) -> dict[bytes, Any]:
    """The dictionary of a pickle; its strings are bytes, its arrays wait for `to_array`.

    Raises:
        DatasetError: The file cannot be read, is damaged, or holds anything else.
    """
    try:
        with path.open("rb") as file:
            content = _Unpickler(file, encoding="bytes").load()
    except OSError as error:
        raise refused(path, "a file that can be read", error.strerror or str(error)) from error
    except Exception as error:  # a damaged pickle raises anything
        raise refused(path, "a whole pickle of plain data", _reason(error)) from error
    if not isinstance(content, dict):
        raise refused(path, "a dictionary", f"a {type(content).__name__}")
    return content


def to_array(value: object, path: Path, width: int) -> UInt8:
    """A pickled array of uint8 as (N, width), read-only; shares the bytes of the pickle.

    Raises:
        DatasetError: It is another array, or none.
    """
    wanted = f"'data' as a uint8 array of (N, {width})"
    if not isinstance(value, _Array):
        raise refused(path, wanted, f"'data' as {type(value).__name__}")
    match value.state:
        case (
            _,
            (int(rows), int(columns)) as shape,
            _Type(arguments=(b"u1", *_)),
            False | 0,
            bytes(raw),
        ):
            if columns != width or rows < 1:
                raise refused(path, wanted, f"an array of {shape}")
            if len(raw) != math.prod(shape):
                raise refused(path, wanted, f"{len(raw):,} bytes for an array of {shape}")
            return np.frombuffer(raw, np.uint8).reshape(shape)
        case _:
            raise refused(path, wanted, "an array of another type or order")


def refused(path: Path, wanted: str, found: str) -> DatasetError:
    """The error of a file that is not what it should be."""
    return DatasetError(
        f"The file {path} cannot be used: wanted {wanted}, found {found}. Replace it by the one "
        "of the publisher's Python-version archive."
    )


def _reason(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "its end missing"
    if isinstance(error, KeyError):
        return f"an instruction or a reference that plain data do not need ({error})"
    return f"damage ({type(error).__name__}: {error})"
