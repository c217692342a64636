"""The files of a run, written without training."""

import csv

import numpy as np
from fake_records import make

from bench.interface.outputs import _write_csv


def test_the_csv_of_scores_holds_names_that_are_not_utf_8(tmp_path):
    file, names = tmp_path / "scores.csv", np.array(["spot/\udcff.png"])
    _write_csv(file, names, np.array([True]), {"score": np.float32([0.5])}, make("padim_resnet18"))
    (row,) = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
    assert row == {"image": r"spot/\udcff.png", "defective": "1", "score": "0.5", "flagged": ""}
