"""Calls of the readers of datasets, which users can write."""

from typing import Any

from datasets_lib.entry import Reader
from datasets_lib.layouts.category import DatasetError
from datasets_lib.resolve import resolve_callable


def read_dataset(reader: Reader, name: str, *arguments: Any) -> Any:
    """Call a dataset's reader; whatever it raises is an error of the dataset.

    Raises:
        DatasetError: The data cannot be used, or the reader failed.
    """
    try:
        return resolve_callable(reader)(*arguments)
    except DatasetError:
        raise
    except Exception as error:
        raise DatasetError(
            f"The reader of {name} failed with {type(error).__name__}: {error}. Fix the reader "
            "or remove the dataset from --data-dir."
        ) from error
