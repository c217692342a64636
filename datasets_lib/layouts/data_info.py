"""``data_info.csv``, the table of images of a custom dataset: written once, then checked."""

import csv
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from datasets_lib.atomic import atomic_path
from datasets_lib.layouts.annotations import read_table
from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.folders import same_name
from datasets_lib.layouts.split import is_grouped

FILE, IMAGES = "data_info.csv", "data_rgb"

_REMEDY = "Delete it to have it written again."
_MAY_WRITE = ContextVar("may_write", default=True)
_Rows = dict[str, tuple[int, dict[str, str]]]
_LOG = logging.getLogger(__name__)


class Info(NamedTuple):
    """One line of the table: the facts from an image's name and folder, and its split.

    Attributes:
        image_path: Relative to the dataset's folder, with ``/``.
        dataset_type: ``train`` or ``test``.
        defect_type: Kind of defect, or ``normal``.
        label: ``1`` for a defect, ``0`` for a normal image.
    """

    filename: str
    category: str
    freq: str
    dimming: str
    image_path: str
    dataset_type: str
    defect_type: str
    label: str


_NAMED = tuple(column for column in Info._fields if column != "dataset_type")
"""Columns that an image's name and folder decide; its split depends on the other images."""


@contextmanager
def read_only() -> Iterator[None]:
    """Return a context in which `check_or_write` checks and does not write."""
    token = _MAY_WRITE.set(False)
    try:
        yield
    finally:
        _MAY_WRITE.reset(token)


def check_or_write(root: Path, wanted: Sequence[Info]) -> None:
    """Compare the table of a dataset with its files, or write the table.

    A missing table is written. If images were added or removed and the table agrees with the names
    and folders of the others, it is written again, since the split may have moved. A folder that is
    not writable gets no table. The split of one session, see `split.grouped_by`, is neither
    compared nor written.

    Raises:
        DatasetError: The table cannot be read, is empty, or contradicts the files.
    """
    file = root / FILE
    rows = _read(file) if file.exists() else None
    if rows is not None:
        # The split of every image may move with the set of images: compare it only if they agree.
        same = rows.keys() == {info.image_path for info in wanted}
        _check(file, rows, wanted, Info._fields if same and not is_grouped() else _NAMED)
        if same:
            return
    if wanted and _MAY_WRITE.get() and not is_grouped():
        _write(file, wanted)


def _check(file: Path, rows: _Rows, wanted: Sequence[Info], columns: Sequence[str]) -> None:
    for info in wanted:
        if info.image_path not in rows:
            continue
        line, row = rows[info.image_path]
        for column in columns:
            if row[column] != getattr(info, column):
                raise DatasetError(
                    f"Line {line} of {file} says {column} {row[column]!r}, the files say "
                    f"{getattr(info, column)!r}: wanted the table as it was written, because "
                    f"names, folders and the stable split decide. {_REMEDY}"
                )


def _read(file: Path) -> _Rows:
    rows = read_table(file, Info._fields, _REMEDY)
    if not rows:
        raise DatasetError(
            f"The table {file} names no image: wanted a line per image, as written. {_REMEDY}"
        )
    foreign = [(line, row) for line, row in rows if not _is_inside(row["image_path"])]
    if foreign:
        line, row = foreign[0]
        raise DatasetError(
            f"Line {line} of {file} names the image {row['image_path']!r}: wanted a path within "
            f"{IMAGES}, as this project writes it. It may be another tool's table: move it away, "
            "or delete it to have one written."
        )
    return {row["image_path"]: (line, row) for line, row in rows}


def _is_inside(name: str) -> bool:
    folder, slash, _ = name.partition("/")
    return bool(slash) and same_name(folder) == IMAGES


def _write(file: Path, rows: Sequence[Info]) -> None:
    text = StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([Info._fields, *rows])
    try:
        with atomic_path(file) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8", newline="")
    except OSError as error:
        _LOG.info("%s is not written: %s", file, error.strerror)
