"""ELPV: electroluminescence images of solar cells, which need only the package index.

The publisher's package ``elpv-dataset`` holds ``data/labels.csv``, a line per image with its path,
the probability that the cell is defective, and the kind of module, mono- or polycrystalline; its
repository has the same layout below ``src/elpv_dataset``. The probability encodes what an expert
said (Deitsch et al. 2019, table 1): 0 and 1 are a functional and a defective cell, 1/3 and 2/3 the
same answers from an unsure expert. There are no masks and no official split for training on normal
images alone: as for custom data, a fifth of them is tested, by stable hash. Images of one module
may lie on both sides.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from datasets_lib.entry import Counts, DatasetEntry
from datasets_lib.layouts.annotations import file_inside, read_fields, unusable
from datasets_lib.layouts.category import Category, Sample
from datasets_lib.layouts.folders import marked_folder
from datasets_lib.layouts.split import split_category

Uncertain = Literal["left_out", "tested"]

PACKAGE = "elpv-dataset"
KINDS = ("mono", "poly")

_TABLE = "labels.csv"
_FOLDERS = ("data", "src/elpv_dataset/data")
_PROBABILITIES = (0.0, 1 / 3, 2 / 3, 1.0)
_REMEDY = f"Install the package {PACKAGE} again, or restore the table from its repository."

_COUNTS: dict[Uncertain, dict[str, Counts]] = {
    "left_out": {
        "mono": Counts(train=470, test=431, defective=313),
        "poly": Counts(train=736, test=586, defective=402),
    },
    # 117 and 178 more cells that are functional, 56 and 50 that are defective.
    "tested": {
        "mono": Counts(train=470, test=604, defective=369),
        "poly": Counts(train=736, test=814, defective=452),
    },
}


@dataclass(frozen=True)
class ElpvReader:
    """Finds and reads the set.

    Attributes:
        uncertain: What to do with images whose expert was unsure. ``tested`` adds them to the test
            images with the expert's answer; they are never trained on.
    """

    uncertain: Uncertain = "left_out"

    def find(self, root: Path) -> Mapping[str, Path] | None:
        """Return both categories, which share a folder, if the folder holds the table."""
        folder = marked_folder(root, _FOLDERS, _TABLE)
        return None if folder is None else dict.fromkeys(KINDS, folder)

    def read(self, dataset: str, category: str, path: Path) -> Category:
        """Return the cells of one kind of module, in the table's order.

        Raises:
            DatasetError: The table is missing or not as published, names a file that is not there
                or an image twice, or has no functional cell of the kind.
        """
        certain: dict[str, Sample] = {}
        unsure: dict[str, Sample] = {}
        table = path / _TABLE
        for line, (name, text, kind) in read_fields(table, 3, _REMEDY):
            if kind not in KINDS:
                raise _refused(table, line, f"the kind of module {kind!r}", " or ".join(KINDS))
            if name in certain or name in unsure:
                raise _refused(table, line, f"{name} again", "each image once")
            if kind == category:
                probability = _probability(text, table, line)
                image = file_inside(path, name, f"Line {line} of {table}", _REMEDY)
                group = certain if probability in (0, 1) else unsure
                defect = _defect(probability)
                group[name] = Sample(name, image, defect=defect)
        split = split_category(dataset, category, path, list(certain.values()), has_masks=False)
        if self.uncertain == "left_out":
            return split
        return Category(dataset, category, split.train, (*split.test, *unsure.values()))


def entry(name: str, uncertain: Uncertain = "left_out") -> DatasetEntry:
    """Return a catalog entry of the set; a file for ``--plugin`` registers another variant.

    Args:
        name: Id of the dataset.
        uncertain: What to do with images whose expert was unsure, see `ElpvReader`.

    Example:
        >>> tested = entry("elpv_uncertain", uncertain="tested")
        >>> tested.counts["mono"].test
        604
    """
    reader = ElpvReader(uncertain)
    return DatasetEntry(
        name=name,
        title="ELPV" if uncertain == "left_out" else "ELPV with uncertain labels",
        task="anomaly",
        categories=KINDS,
        license="CC BY-NC-SA 4.0",
        citation=(
            "Buerhop-Lutz, Deitsch, Maier, Gallwitz, Berger, Doll, Hauch, Camus, Brabec: A "
            "Benchmark for Visual Identification of Defective Solar Cells in Electroluminescence "
            "Imagery, EU PVSEC 2018"
        ),
        homepage="https://github.com/zae-bayern/elpv-dataset",
        folders=("elpv_dataset", "elpv_dataset_master") if name == "elpv" else (),
        finder=reader.find,
        reader=reader.read,
        package=PACKAGE,
        counts=MappingProxyType(_COUNTS[uncertain]),
        ask_first=True,
    )


def _probability(text: str, table: Path, line: int) -> float:
    """Return the nearest of the four probabilities: the table rounds 1/3 to 16 digits."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    for probability in _PROBABILITIES:
        if abs(value - probability) < 1e-3:
            return probability
    raise _refused(table, line, f"the probability {text!r}", "0, 1/3, 2/3 or 1")


def _defect(probability: float) -> str | None:
    if probability < 0.5:
        return None
    return "defective" if probability == 1 else "uncertain"


def _refused(table: Path, line: int, found: str, wanted: str) -> Exception:
    return unusable(table, f"line {line} names {found}", wanted, _REMEDY)


ENTRY = entry("elpv")
