"""The files of a run, written without training."""

import csv
import shutil

import numpy as np
from fake_records import make

from bench.interface.outputs import _link_panels, _write_csv


def test_the_csv_of_scores_holds_names_that_are_not_utf_8(tmp_path):
    file, names = tmp_path / "scores.csv", np.array(["spot/\udcff.png"])
    _write_csv(file, names, np.array([True]), {"score": np.float32([0.5])}, make("padim_resnet18"))
    (row,) = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
    assert row == {"image": r"spot/\udcff.png", "defective": "1", "score": "0.5", "flagged": ""}


def test_pictures_of_images_with_long_names_are_linked_and_replaced(tmp_path):
    panels, folder, long = tmp_path / "panels", tmp_path / "tiny", 75 * "가"
    folder.mkdir()
    for names in ((f"good_{long}0", f"good_{long}1", "good_1"), (f"good_{long}0",)):
        shutil.rmtree(panels, ignore_errors=True)
        panels.mkdir()
        for name in names:
            (panels / f"{name}.png").write_text(name)
        _link_panels(panels, folder, "tiny_tile_padim_resnet18")
        found = sorted(folder.iterdir())
        assert {file.read_text() for file in found} == set(names)
        assert all(file.name.startswith("image_tiny_tile_padim_resnet18_good_") for file in found)
