"""Every named dataset, as data; imports no torch. Folders found at run time join these."""

from collections.abc import Mapping
from types import MappingProxyType

from datasets_lib.entry import FOLDER_FINDER, FOLDER_READER, DatasetEntry, Layout
from datasets_lib.sets import (
    btad,
    cifar10,
    cifar100,
    digits,
    dtd,
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

_ANOMALY = (mvtec, visa, btad, mpdd, mvtec_ad2, mvtec_loco, kolektor_sdd, real_iad, surface)
_CLASSIFICATION = (cifar10, cifar100, tiny_imagenet, digits)
_TEXTURE = (dtd, imagenette)

DATASETS: Mapping[str, DatasetEntry] = MappingProxyType(
    {module.ENTRY.name: module.ENTRY for module in (*_ANOMALY, *_CLASSIFICATION, *_TEXTURE)}
)

CUSTOM_LAYOUTS = (
    Layout(FOLDER_FINDER, FOLDER_READER),
    Layout(
        "datasets_lib.layouts.custom_names:find_categories",
        "datasets_lib.layouts.custom_names:read_category",
    ),
    Layout(
        "datasets_lib.layouts.plain_folders:find_categories",
        "datasets_lib.layouts.plain_folders:read_category",
    ),
    Layout(
        "datasets_lib.layouts.class_folders:find",
        "datasets_lib.layouts.class_folders:read",
        "classification",
    ),
)
"""What a folder of any other name may look like; the first that fits decides."""
