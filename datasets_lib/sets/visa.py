"""VisA, visual anomaly: twelve categories, split by a table.

Layout: the publisher's repository: ``<category>/Data/Images/{Normal,Anomaly}``,
``<category>/Data/Masks/Anomaly`` and ``split_csv/1cls.csv``, which names every image with its
split, label and mask, relative to the dataset's folder. The counts are that table's, of 10,821
rows. Mask values are indices of classes: all above zero are defects.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from datasets_lib.entry import Archive, Counts, DatasetEntry
from datasets_lib.layouts.annotations import Row, file_inside, read_table, unusable
from datasets_lib.layouts.category import Category, DatasetError, Sample
from datasets_lib.layouts.folders import categories_in, in_order, relative_name

_COUNTS = {
    "candle": Counts(train=900, test=200, defective=100),
    "capsules": Counts(train=542, test=160, defective=100),
    "cashew": Counts(train=450, test=150, defective=100),
    "chewinggum": Counts(train=453, test=150, defective=100),
    "fryum": Counts(train=450, test=150, defective=100),
    "macaroni1": Counts(train=900, test=200, defective=100),
    "macaroni2": Counts(train=900, test=200, defective=100),
    "pcb1": Counts(train=904, test=200, defective=100),
    "pcb2": Counts(train=901, test=200, defective=100),
    "pcb3": Counts(train=905, test=201, defective=100),
    "pcb4": Counts(train=904, test=201, defective=100),
    "pipe_fryum": Counts(train=450, test=150, defective=100),
}

ENTRY = DatasetEntry(
    name="visa",
    title="VisA",
    task="anomaly",
    categories=tuple(_COUNTS),
    license="CC BY 4.0",
    citation=(
        "Zou, Jeong, Pemula, Zhang, Dabeer: SPot-the-Difference Self-supervised Pre-training for "
        "Anomaly Detection and Segmentation, ECCV 2022"
    ),
    homepage="https://github.com/amazon-science/spot-diff",
    folders=("visa_20220922",),
    finder="datasets_lib.sets.visa:find",
    reader="datasets_lib.sets.visa:read",
    counts=MappingProxyType(_COUNTS),
    archives=(
        Archive(
            file="VisA_20220922.tar",
            urls=("https://amazon-visual-anomaly.s3.us-west-2.amazonaws.com/VisA_20220922.tar",),
            sha256="2eb8690c803ab37de0324772964100169ec8ba1fa3f7e94291c9ca673f40f362",
        ),
    ),
    unverified=("The checksum is as public readers state it.",),
)

_COLUMNS = ("object", "split", "label", "image", "mask")
_REMEDY = "Restore the table from the archive of VisA, or from its repository."


def find(root: Path) -> Mapping[str, Path] | None:
    """Return the categories in a folder, by id."""
    return categories_in(root, lambda folder: os.path.isdir(folder / "Data" / "Images"))  # noqa: PTH112


def read(dataset: str, category: str, path: Path) -> Category:
    """Return the samples of a category as the table splits them, in natural order.

    Raises:
        DatasetError: The table is missing or not as published, or names a file that is not there.
    """
    table = path.parent / "split_csv" / "1cls.csv"
    samples: dict[str, dict[str, Sample]] = {"train": {}, "test": {}}
    for line, row in read_table(table, _COLUMNS, _REMEDY):
        if row["object"] == path.name:
            sample = _sample(path, row, f"Line {line} of {table}")
            if sample.name in samples["train"] or sample.name in samples["test"]:
                raise unusable(
                    table, f"line {line} names {row['image']} again", "each once", _REMEDY
                )
            samples[row["split"]][sample.name] = sample
    train, test = (in_order(samples[split].values()) for split in ("train", "test"))
    if not train or not test:
        raise DatasetError(
            f"The table {table} names {len(train)} training and {len(test)} test images of "
            f"{path.name}: wanted at least one of each. {_REMEDY}"
        )
    has_masks = any(sample.masks for sample in test)
    return Category(dataset, category, train, test, has_masks)


def _sample(path: Path, row: Row, where: str) -> Sample:
    kind = row["split"], row["label"]
    if kind not in {("train", "normal"), ("test", "normal"), ("test", "anomaly")}:
        raise DatasetError(
            f"{where} says split {kind[0]!r}, label {kind[1]!r}: wanted train or test, and normal "
            f"or, in test, anomaly. {_REMEDY}"
        )
    image, mask = (_file(path, row[column], where) for column in ("image", "mask"))
    if image is None or (mask is None) != (row["label"] == "normal"):
        raise DatasetError(
            f"{where} names the image {row['image']!r} and the mask {row['mask']!r}: wanted an "
            f"image, and a mask for anomalies only. {_REMEDY}"
        )
    defect = None if row["label"] == "normal" else row["label"]
    return Sample(relative_name(image, path), image, (mask,) if mask else (), defect)


def _file(path: Path, name: str, where: str) -> Path | None:
    if not name:
        return None
    return file_inside(path, name.removeprefix(f"{path.name}/"), where, _REMEDY)
