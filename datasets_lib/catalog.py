"""Every named dataset and folder layout, as data; imports no torch.

One registration adds a dataset, from this file or from a plugin::

    register_dataset(
        DatasetEntry("bolts", "Bolts", "anomaly", ("m4", "m6"), "CC0", finder=find, reader=read)
    )
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import get_args

from datasets_lib.entry import FOLDER_FINDER, FOLDER_READER, DatasetEntry, Layout, Task
from datasets_lib.layouts.folders import folder_id
from datasets_lib.sets import (
    btad,
    cifar,
    digits,
    dtd,
    elpv,
    imagenette,
    kolektor_sdd,
    mpdd,
    mvtec,
    mvtec_ad2,
    mvtec_loco,
    real_iad,
    surface,
    tiny_imagenet,
    visa,
)

_DATASETS: dict[str, DatasetEntry] = {}
_LAYOUTS: dict[str, Layout] = {}

DATASETS: Mapping[str, DatasetEntry] = MappingProxyType(_DATASETS)
"""Registered datasets by name, a read-only view that shows later registrations."""

CUSTOM_LAYOUTS: Mapping[str, Layout] = MappingProxyType(_LAYOUTS)
"""Layouts for folders of other names, in order of registration; the first that fits is used."""


def entry_named(name: str) -> DatasetEntry | None:
    """Return the dataset of this name, or the one whose folder may have this name.

    Underscores do not matter: publishers' names are spelled in many ways.

    >>> entry_named("btech").name, entry_named("mvtecad").name
    ('btad', 'mvtec')
    """
    # The name itself takes precedence over the folder names of other sets.
    return DATASETS.get(name) or next(
        (entry for entry in DATASETS.values() if _squeezed(name) in _aliases(entry)), None
    )


def _aliases(entry: DatasetEntry) -> set[str]:
    return set(map(_squeezed, (entry.name, folder_id(entry.title), *entry.folders)))


def _squeezed(name: str) -> str:
    return name.replace("_", "")


def register_dataset(entry: DatasetEntry) -> None:
    """Add a dataset to the catalog.

    Raises:
        ValueError: The task is unknown, a name, category or folder name has characters outside
            ``[a-z0-9_]``, or another dataset has the name or a folder name.
    """
    if entry.task not in (tasks := get_args(Task)):
        raise ValueError(
            f"The dataset '{entry.title}' has the task '{entry.task}': wanted one of "
            f"{', '.join(tasks)}."
        )
    for name in (entry.name, *entry.folders, *entry.categories):
        _check_id(name, f"The dataset '{entry.title}'")
    for name in (entry.name, *entry.folders):
        if other := entry_named(name):
            raise ValueError(
                f"Two datasets go by the name '{name}': '{other.title}' ({other.name}) and "
                f"'{entry.title}' ({entry.name}). Rename one of them."
            )
    _DATASETS[entry.name] = entry


def register_layout(layout: Layout) -> None:
    """Add a folder layout, which is tried after those registered before it.

    Raises:
        ValueError: The name is taken or has characters outside ``[a-z0-9_]``.
    """
    _check_id(layout.name, f"The layout with the reader {layout.reader}")
    if other := _LAYOUTS.get(layout.name):
        raise ValueError(
            f"Two layouts are named '{layout.name}', with the readers {other.reader} and "
            f"{layout.reader}. Rename one of them."
        )
    _LAYOUTS[layout.name] = layout


def _check_id(name: str, owner: str) -> None:
    if not re.fullmatch("[a-z0-9_]+", name):
        raise ValueError(
            f"{owner} uses the name {name!r}, which cannot be part of a case id: expected "
            "lower-case letters, digits and underscores. Rename it."
        )


_ANOMALY = (
    *(mvtec, visa, btad, mpdd, mvtec_ad2, mvtec_loco, kolektor_sdd, real_iad),
    *(elpv, surface),
)
_OTHERS = (tiny_imagenet, digits, dtd, imagenette)

for _entry in (
    *(module.ENTRY for module in _ANOMALY),
    cifar.CIFAR10,
    cifar.CIFAR100,
    *(module.ENTRY for module in _OTHERS),
):
    register_dataset(_entry)

register_layout(Layout("mvtec_folders", FOLDER_FINDER, FOLDER_READER))
for _name in ("custom_names", "plain_folders"):
    _path = f"datasets_lib.layouts.{_name}"
    register_layout(Layout(_name, f"{_path}:find_categories", f"{_path}:read_category"))
_path = "datasets_lib.layouts.class_folders"
register_layout(Layout("class_folders", f"{_path}:find", f"{_path}:read", "classification"))
