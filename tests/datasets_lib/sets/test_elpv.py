"""Solar cells by electroluminescence: the table's reader, and the publisher's package."""

import re
import sys
from collections import Counter
from importlib.util import find_spec

import numpy as np
import pytest
from dataset_files import names, write_image

from datasets_lib.catalog import DATASETS
from datasets_lib.discover import available_datasets, installed_datasets, recognize
from datasets_lib.layouts.category import DatasetError
from datasets_lib.resolve import resolve_callable
from datasets_lib.sets.elpv import entry
from datasets_lib.verify.sets import Check, verify_category

ROWS = [
    ("0.0", "mono", 5),
    ("0.3333333333333333", "mono", 2),
    ("0.6666666666666666", "mono", 1),
    ("1.0", "mono", 3),
    ("0.0", "poly", 2),
    ("1.0", "poly", 1),
]


def write_elpv(root):
    """The layout of the package's folder; returns the table."""
    kinds = [row[:2] for row in ROWS for _ in range(row[2])]
    lines = []
    for number, (probability, kind) in enumerate(kinds, 1):
        name = f"images/cell{number:04}.png"
        write_image(root / "data" / name, number)
        lines.append(f"{name}  {probability:18} {kind}\n")
    table = root / "data" / "labels.csv"
    table.write_text("".join(lines))
    return table


def read(root, category="mono"):
    found = recognize(root)
    reader = resolve_callable(found.reader)
    return reader("elpv", category, found.categories[category])


@pytest.mark.parametrize("folder", ["elpv", "elpv_dataset", "elpv-dataset-master"])
def test_elpv_splits_sure_answers_by_kind_of_module(tmp_path, folder):
    write_elpv(tmp_path / folder)
    [found] = available_datasets([tmp_path]).values()
    assert (found.name, list(found.categories)) == ("elpv", ["mono", "poly"])
    category = read(tmp_path / folder)
    # A fifth of the five functional cells is tested, and all three defective ones are.
    assert (len(category.train), len(category.test)) == (4, 4)
    assert Counter(sample.defect for sample in category.test) == {None: 1, "defective": 3}
    assert not category.has_masks
    every = {f"images/cell{number:04}.png" for number in (1, 2, 3, 4, 5, 9, 10, 11)}
    assert {*names(category.train), *names(category.test)} == every
    poly = read(tmp_path / folder, "poly")
    assert {*names(poly.train), *names(poly.test)} == {
        f"images/cell{number:04}.png" for number in (12, 13, 14)
    }


def test_elpv_variant_tests_uncertain_cells_under_the_experts_answer(tmp_path):
    write_elpv(tmp_path / "elpv")
    plain = read(tmp_path / "elpv")
    variant = entry("elpv_uncertain", uncertain="tested")
    category = variant.reader("elpv_uncertain", "mono", tmp_path / "elpv" / "data")
    assert category.train == plain.train
    assert category.test[: len(plain.test)] == plain.test
    added = {sample.name: sample.defect for sample in category.test[len(plain.test) :]}
    assert added == {
        "images/cell0006.png": None,
        "images/cell0007.png": None,
        "images/cell0008.png": "uncertain",
    }


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("images/cell0001.png 0.0 mono", "images/cell0001.png again"),
        ("images/cell0002.png 0.5 mono", "probability '0.5'"),
        ("images/cell0002.png sure mono", "probability 'sure'"),
        ("images/cell0002.png nan mono", "probability 'nan'"),
        ("images/cell0002.png 0.0 duo", "'duo'"),
        ("images/cell0099.png 0.0 mono", "not in"),
        ("../cell0002.png 0.0 mono", "inside"),
        ("images/cell0002.png 0.0", "2 fields"),
    ],
)
def test_elpv_names_the_line_of_its_table_that_is_wrong(tmp_path, line, words):
    table = write_elpv(tmp_path / "elpv")
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0], line, *lines[2:]]))
    with pytest.raises(DatasetError, match=re.escape(words)) as caught:
        read(tmp_path / "elpv")
    assert "ine 2" in str(caught.value)
    assert str(table) in str(caught.value)


def test_elpv_without_its_table_is_none(tmp_path):
    write_image(tmp_path / "elpv" / "data" / "images" / "cell0001.png")
    assert recognize(tmp_path / "elpv") is None


@pytest.fixture
def package():
    """The dataset in the installed package."""
    if find_spec("elpv_dataset") is None:
        pytest.skip("the package elpv-dataset is not installed: uv sync --extra data")
    return installed_datasets()["elpv"]


@pytest.mark.slow
@pytest.mark.parametrize("uncertain", ["left_out", "tested"])
@pytest.mark.parametrize("category", ["mono", "poly"])
def test_elpv_package_verifies_with_its_counts(package, category, uncertain):
    variant = entry("elpv", uncertain)
    path = package.categories[category]
    check = Check(variant.counts[category])
    report = verify_category("elpv", category, path, variant.reader, check)
    assert report.problems == ()
    assert "300×300" in report.notes
    if uncertain == "tested":  # every image of the package: 1,074 mono and 1,550 poly
        total = report.counts.train + report.counts.test
        assert total == {"mono": 1074, "poly": 1550}[category]


@pytest.mark.slow
def test_elpv_package_reads_as_its_publisher_reads_it(package):
    from elpv_dataset.utils import load_dataset
    from PIL import Image

    images, probabilities, kinds = load_dataset()
    assert len(images) == 2624
    for category in package.categories:
        mine = resolve_callable(package.reader)("elpv", category, package.categories[category])
        samples = sorted((*mine.train, *mine.test), key=lambda sample: sample.name)
        rows = np.flatnonzero((kinds == category) & np.isin(probabilities, (0, 1)))
        assert [sample.defect for sample in samples] == [
            "defective" if probabilities[row] else None for row in rows
        ]
        for sample, row in list(zip(samples, rows, strict=True))[::50]:
            assert np.array_equal(np.asarray(Image.open(sample.image)), images[row])


def test_elpv_folder_takes_precedence_over_the_package(tmp_path, monkeypatch):
    write_elpv(tmp_path / "packages" / "elpv_dataset")
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.delitem(sys.modules, "elpv_dataset", raising=False)
    (tmp_path / "packages" / "elpv_dataset" / "__init__.py").write_text("1 / 0")
    write_elpv(tmp_path / "data" / "elpv")
    # The package is not imported: its code would raise.
    assert installed_datasets()["elpv"].root == tmp_path / "packages" / "elpv_dataset"
    assert available_datasets([])["elpv"].root == tmp_path / "packages" / "elpv_dataset"
    assert available_datasets([tmp_path / "data"])["elpv"].root == tmp_path / "data" / "elpv"


def test_elpv_names_its_package_as_its_source():
    assert DATASETS["elpv"].package == "elpv-dataset"
    assert DATASETS["elpv"].ask_first
