"""Real photographs in the MVTec AD layout: grayscale JPEG of many sizes, 1-bit masks."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets_lib.cache.decode_cache import DecodeCache
from datasets_lib.discover import recognize
from datasets_lib.layouts.mvtec_folders import MVTEC
from datasets_lib.layouts.split import limit

pytestmark = pytest.mark.real_data

KINDS = {
    "magnetic_tile": {None: 200, "blowhole": 115, "break": 85, "crack": 57, "fray": 32},
    "magnetic_tile_uneven": {None: 50, "uneven": 103},
}


@pytest.fixture
def folder():
    root = os.environ.get("PROVING_GROUND_TEST_DATA")
    if not root:
        pytest.skip("PROVING_GROUND_TEST_DATA names no folder of test data")
    return Path(root) / "mvtec_style"


@pytest.mark.parametrize(("name", "train"), [("magnetic_tile", 500), ("magnetic_tile_uneven", 100)])
def test_magnetic_tiles_are_read_whole(folder, name, train):
    found = recognize(folder)
    category = MVTEC.read("mvtec_style", name, found.categories[name])
    assert len(category.train) == train
    assert Counter(sample.defect for sample in category.test) == KINDS[name]
    assert category.has_masks
    assert all(bool(sample.masks) == bool(sample.defect) for sample in category.test)


def test_masks_of_magnetic_tiles_cover_what_the_files_say(folder, tmp_path):
    path = recognize(folder).categories["magnetic_tile"]
    samples = [s for s in MVTEC.read("set", "tile", path).test if s.defect]
    few = limit(samples, 12)
    masks = DecodeCache(tmp_path).get(few, 256).masks
    for sample, mask in zip(few, masks, strict=True):
        share = np.asarray(Image.open(sample.masks[0]).convert("L"), bool).mean()
        assert mask.mean() == pytest.approx(share, rel=0.1, abs=2e-4)
