"""Strict readers of the CSV and JSON lists of a dataset; the files that they name are checked."""

import csv
import json
import os
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.folders import child

Row = dict[str, str]


def read_table(file: Path, columns: Sequence[str], remedy: str) -> list[tuple[int, Row]]:
    """Return the rows of a UTF-8 CSV file, each with the number of its last line.

    Args:
        file: Path of the file; a byte-order mark is skipped.
        columns: Expected header.
        remedy: Advice at the end of an error message.

    Raises:
        DatasetError: The file cannot be read, is not UTF-8 or not CSV, or has other columns.
    """
    wanted = f"a UTF-8 CSV file with the header {','.join(columns)}"
    try:
        return list(_rows(_bytes(file, wanted, remedy).decode("utf-8-sig"), columns))
    except (ValueError, csv.Error) as error:
        raise unusable(file, str(error), wanted, remedy) from error


def read_fields(file: Path, count: int, remedy: str) -> list[tuple[int, list[str]]]:
    """Return the fields between white space of each line of a UTF-8 text file, with its number.

    Args:
        file: Path of the file.
        count: Expected number of fields in each line; empty lines are skipped.
        remedy: Advice at the end of an error message.

    Raises:
        DatasetError: The file cannot be read, is not UTF-8, or a line has another number of fields.
    """
    wanted = f"a UTF-8 text file with {count} fields in each line"
    try:
        text = _bytes(file, wanted, remedy).decode("utf-8-sig")
    except ValueError as error:
        raise unusable(file, str(error), wanted, remedy) from error
    lines = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1)]
    for number, fields in lines:
        if len(fields) not in {0, count}:
            raise unusable(file, f"line {number} has {len(fields)} fields", wanted, remedy)
    return [(number, fields) for number, fields in lines if fields]


def read_json(file: Path, wanted: str, remedy: str) -> Any:
    """Return the content of a JSON file.

    Args:
        file: Path of the file.
        wanted: Description of the expected content for the error message.
        remedy: Advice at the end of an error message.

    Raises:
        DatasetError: The file cannot be read or is not JSON.
    """
    try:
        return json.loads(_bytes(file, wanted, remedy))
    except (ValueError, RecursionError) as error:
        raise unusable(file, str(error), wanted, remedy) from error


def file_inside(root: Path, name: str, where: str, remedy: str) -> Path:
    """Return the path of a file that a list names relative to a folder.

    Args:
        root: Folder that names are relative to.
        name: Relative path of the file, with ``/``.
        where: List and line for the error message.
        remedy: Advice at the end of an error message.

    Raises:
        DatasetError: The name leads out of the folder, or the file does not exist.
    """
    parts = PurePosixPath(name).parts
    # A drive or a backslash leads elsewhere on Windows only; no publisher uses either.
    if not parts or ".." in parts or parts[0] == "/" or PureWindowsPath(name).drive or "\\" in name:
        raise DatasetError(
            f"{where} names the file {name!r}: wanted a path inside {root}, relative to it and "
            f"with / between folders. {remedy}"
        )
    file = child(root, *parts)
    # os.path.isfile answers False where Path.is_file raises, on a name too long for one.
    if not os.path.isfile(file):  # noqa: PTH113
        raise DatasetError(f"{where} names the file {name!r}, which is not in {root}. {remedy}")
    return file


def unusable(file: Path, problem: str, wanted: str, remedy: str) -> DatasetError:
    """Return the error for a list that cannot be used."""
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
