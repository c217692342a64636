"""Published values, shown next to ours and never mixed with them."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "results" / "reference"

MEAN = "mean"
"""Category of a value published as the mean over all of a dataset's categories."""


@dataclass(frozen=True)
class Reference:
    """The values that one source published for one model, category and scoring head.

    Attributes:
        model: Our name of the model, with its recipe and augmentation.
        source: Who published it, and under which settings.
        category: Category id, `MEAN`, or empty for a dataset without categories.
        metrics: Values as published, fractions of 1, by our metric's name.
        init: ``pretrained`` or ``scratch``.
        reasons: Why a metric of the source has no value here: it is defined differently there.
        cautions: Why a value is not comparable with ours, by metric; it then has no band.
        image_size: Side of the images in pixels, ``256->224 crop`` if they were cropped; empty if
            it is not stated.
        in_tables: Whether it is also a row of the Markdown tables, not only of the CSV file.
    """

    model: str
    source: str
    dataset: str
    category: str
    head: str
    metrics: Mapping[str, float]
    init: str = "pretrained"
    reasons: Mapping[str, str] = field(default_factory=dict)
    cautions: Mapping[str, str] = field(default_factory=dict)
    image_size: str = ""
    in_tables: bool = True


@cache
def read_rows(name: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file in ``results/reference``; it is read once."""
    with (FOLDER / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
