"""Real-IAD: thirty categories seen from five sides, split by one JSON file per category.

Layout: the publisher's repository: images in ``realiad_<size>/<category>``, splits in
``realiad_jsons/<category>.json`` (or in a folder of that name within, as the archive unpacks):
``{"meta": {"normal_class": …}, "train": […], "test": […]}`` with an ``image_path``, ``mask_path``
and ``anomaly_class`` for each image, relative to the category's folder. As in the publisher's
reader, an image of the test split without a mask counts as normal. All views of an object are
read, as in the paper's multi-view setting.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets_lib.entry import Archive, DatasetEntry
from datasets_lib.layouts.annotations import file_inside, read_json, unusable
from datasets_lib.layouts.category import Category, DatasetError, Sample
from datasets_lib.layouts.folders import ids_of, in_order, relative_name, subfolders

CATEGORIES = (
    "audiojack",
    "bottle_cap",
    "button_battery",
    "end_cap",
    "eraser",
    "fire_hood",
    "mint",
    "mounts",
    "pcb",
    "phone_battery",
    "plastic_nut",
    "plastic_plug",
    "porcelain_doll",
    "regulator",
    "rolled_strip_base",
    "sim_card_set",
    "switch",
    "tape",
    "terminalblock",
    "toothbrush",
    "toy",
    "toy_brick",
    "transistor1",
    "u_block",
    "usb",
    "usb_adaptor",
    "vcpill",
    "wooden_beads",
    "woodstick",
    "zipper",
)

ENTRY = DatasetEntry(
    name="real_iad",
    title="Real-IAD",
    task="anomaly",
    categories=CATEGORIES,
    license="CC BY-NC-SA 4.0",
    citation=(
        "Wang, Zhu, Gao et al.: Real-IAD: A Real-World Multi-View Dataset for Benchmarking "
        "Versatile Industrial Anomaly Detection, CVPR 2024"
    ),
    homepage="https://realiad4ad.github.io/Real-IAD",
    folders=("realiad",),
    finder="datasets_lib.sets.real_iad:find",
    reader="datasets_lib.sets.real_iad:read",
    archives=(
        Archive(file="realiad_jsons.zip", strip="realiad_jsons", into="realiad_jsons"),
        *(Archive(file=f"{category}.zip", into="realiad_1024") for category in CATEGORIES),
    ),
    ask_first=True,
    unverified=(
        "The counts by category; published are 151,050 images, 51,329 of them defective.",
        "The names and top folders of the archives, which must be requested from its publishers.",
    ),
)

SIZES = ("realiad_1024", "realiad_512", "realiad_256", "realiad_raw")
"""Folders of one image size each; the first that exists is read."""

_WANTED = (
    'an object {"meta": {"normal_class": …}, "train": […], "test": […]} whose lists hold objects '
    "with image_path, mask_path and anomaly_class"
)
_REMEDY = "Unpack realiad_jsons.zip of Real-IAD again."


def find(root: Path) -> Mapping[str, Path] | None:
    """Return the categories in the first folder of `SIZES` that exists, by id."""
    for size in SIZES:
        if os.path.isdir(root / size):  # noqa: PTH112
            return ids_of(subfolders(root / size), "categories") or None
    return None


def read(dataset: str, category: str, path: Path) -> Category:
    """Return the samples of a category as its JSON file splits them, in natural order.

    Raises:
        DatasetError: The file is missing or not as published, or names one that is not there.
    """
    splits = _splits_file(path)
    try:
        train, test = _samples(path, splits, read_json(splits, _WANTED, _REMEDY))
    except (KeyError, TypeError, AttributeError) as error:
        raise unusable(splits, repr(error), _WANTED, _REMEDY) from error
    if not train or not test or any(sample.defect for sample in train):
        raise DatasetError(
            f"The file {splits} names {len(train)} training images, "
            f"{sum(sample.defect is not None for sample in train)} of them defective, and "
            f"{len(test)} test images: wanted normal ones to train on, and some to test on. "
            f"{_REMEDY}"
        )
    return Category(dataset, category, train, test, any(sample.masks for sample in test))


def _splits_file(path: Path) -> Path:
    folder = path.parent.parent / "realiad_jsons"
    nested = folder / "realiad_jsons" / f"{path.name}.json"
    return nested if os.path.isfile(nested) else folder / f"{path.name}.json"  # noqa: PTH113


def _samples(path: Path, splits: Path, data: Any) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    normal = data["meta"]["normal_class"]
    train, test = (
        [_sample(path, row, normal, f"The split {split} of {splits}") for row in data[split]]
        for split in ("train", "test")
    )
    return in_order(train), in_order(test)


def _sample(path: Path, row: Mapping[str, Any], normal: str, where: str) -> Sample:
    image = file_inside(path, row["image_path"], where, _REMEDY)
    name = relative_name(image, path)
    if row["mask_path"] is None or row["anomaly_class"] == normal:
        return Sample(name, image)
    mask = file_inside(path, row["mask_path"], where, _REMEDY)
    return Sample(name, image, (mask,), str(row["anomaly_class"]))
