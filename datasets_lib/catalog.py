"""Every named dataset, as data; imports no torch. Folders found at run time join these."""

from collections.abc import Mapping
from types import MappingProxyType

from datasets_lib.entry import FOLDER_FINDER, FOLDER_READER, DatasetEntry, Layout
from datasets_lib.sets import (
    cifar10,
    cifar100,
    digits,
    dtd,
    imagenette,
    mvtec,
    surface,
    tiny_imagenet,
)

DATASETS: Mapping[str, DatasetEntry] = MappingProxyType(
    {
        module.ENTRY.name: module.ENTRY
        for module in (mvtec, surface, cifar10, cifar100, tiny_imagenet, digits, dtd, imagenette)
    }
)

CUSTOM_LAYOUTS = (Layout(FOLDER_FINDER, FOLDER_READER),)
"""What a folder of any other name may look like; the first that fits decides."""
