"""The lists that come with a dataset: CSV and JSON read strictly, files they name checked."""

import csv
import json
import os
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from datasets_lib.layouts.category import DatasetError

Row = dict[str, str]


def read_table(file: Path, columns: Sequence[str], remedy: str) -> list[tuple[int, Row]]:
    """The rows of a UTF-8 CSV file, each with the number of the line it ends on.

    Args:
        file: The file; a byte-order mark is passed over.
        columns: The header it must have.
        remedy: What to do about a file that is not as wanted.

    Raises:
        DatasetError: It cannot be read, is not UTF-8 or no CSV, or has other columns.
    """
    wanted = f"a UTF-8 CSV file with the header {','.join(columns)}"
    try:
        return list(_rows(_bytes(file, wanted, remedy).decode("utf-8-sig"), columns))
    except (ValueError, csv.Error) as error:
        raise unusable(file, str(error), wanted, remedy) from error


def read_json(file: Path, wanted: str, remedy: str) -> Any:
    """What a JSON file holds.

    Args:
        file: The file.
        wanted: What it should hold, in words, for the message.
        remedy: What to do about a file that is not as wanted.

    Raises:
        DatasetError: It cannot be read or is no JSON.
    """
    try:
        return json.loads(_bytes(file, wanted, remedy))
    except (ValueError, RecursionError) as error:
        raise unusable(file, str(error), wanted, remedy) from error


def file_inside(root: Path, name: str, where: str, remedy: str) -> Path:
    """The file that a list names relative to a folder.

    Args:
        root: The folder.
        name: The file's path relative to it, with ``/``.
        where: The list and the place in it, for messages.
        remedy: What to do about a file that is not as wanted.

    Raises:
        DatasetError: The name leads out of the folder, or there is no such file.
    """
    parts = PurePosixPath(name).parts
    # A drive or a backslash would lead elsewhere on Windows alone; no publisher uses either.
    if not parts or ".." in parts or parts[0] == "/" or PureWindowsPath(name).drive or "\\" in name:
        raise DatasetError(
            f"{where} names the file {name!r}: wanted a path inside {root}, relative to it and "
            f"with / between folders. {remedy}"
        )
    file = root / name
    # os.path.isfile answers False where Path.is_file raises, on a name too long for one.
    if not os.path.isfile(file):  # noqa: PTH113
        raise DatasetError(f"{where} names the file {name!r}, which is not in {root}. {remedy}")
    return file


def unusable(file: Path, problem: str, wanted: str, remedy: str) -> DatasetError:
    """The error that a list is not as wanted."""
    return DatasetError(f"The file {file} cannot be used: {problem}. Wanted {wanted}. {remedy}")


def _bytes(file: Path, wanted: str, remedy: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"The file {file} cannot be read: {error.strerror}. Wanted {wanted}. {remedy}"
        ) from error


def _rows(text: str, columns: Sequence[str]) -> Iterator[tuple[int, Row]]:
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    header = next(reader, [])
    if header != list(columns):
        raise ValueError(f"its header is {','.join(header)[:200] or 'missing'}")
    for fields in reader:
        if not fields:
            continue
        if len(fields) != len(columns):
            raise ValueError(
                f"line {reader.line_num} has {len(fields)} fields in place of {len(columns)}"
            )
        yield reader.line_num, dict(zip(columns, fields, strict=True))
