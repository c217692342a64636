import random
import re
from pathlib import Path

import pytest
from dataset_files import names, touch

from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.masks import MissingMasksError
from datasets_lib.layouts.mvtec_folders import MVTEC

WHOLE = (
    "train/good/10.png",
    "train/good/9.png",
    "train/good/1.JPG",
    "test/good/a.bmp",
    "test/crack/2.png",
    "test/crack/10.jpeg",
    "test/break/1.TIF",
    "ground_truth/crack/2_mask.png",
    "ground_truth/crack/10.png",
    "ground_truth/break/1_mask.PNG",
)


def test_layout_is_read_in_natural_order(tmp_path):
    category = MVTEC.read("set", "cat", touch(tmp_path, *WHOLE))
    assert (category.dataset, category.name, category.has_masks) == ("set", "cat", True)
    assert names(category.train) == ["train/good/1.JPG", "train/good/9.png", "train/good/10.png"]
    assert names(category.test) == [
        "test/good/a.bmp",
        "test/break/1.TIF",
        "test/crack/2.png",
        "test/crack/10.jpeg",
    ]
    assert [sample.defect for sample in category.test] == [None, "break", "crack", "crack"]
    truth = tmp_path / "ground_truth"
    assert [sample.masks for sample in category.test] == [
        (),
        (truth / "break" / "1_mask.PNG",),
        (truth / "crack" / "2_mask.png",),
        (truth / "crack" / "10.png",),
    ]
    assert all(sample.image == tmp_path / sample.name for sample in category.test)


def test_the_order_does_not_depend_on_the_order_of_creation(tmp_path):
    files = [f"train/good/{n}.png" for n in range(30)] + ["train/good/07.png", "test/good/0.png"]
    orders = []
    for seed in range(3):
        random.Random(seed).shuffle(files)
        category = MVTEC.read("set", "cat", touch(tmp_path / str(seed), *files))
        orders.append(names(category.train))
    assert orders[0] == orders[1] == orders[2]
    assert orders[0][6:10] == [f"train/good/{n}.png" for n in ("6", "07", "7", "8")]


def test_hidden_files_and_orphan_masks_are_skipped(tmp_path):
    root = touch(tmp_path, *WHOLE)
    expected = MVTEC.read("set", "cat", root)
    touch(
        root,
        "train/good/.DS_Store",
        "train/good/._9.png",
        "train/good/Thumbs.db",
        "test/.ipynb_checkpoints/x.png",
        "test/notes.txt",
        "test/stray.png",
        "ground_truth/crack/77_mask.png",
        "ground_truth/good/a_mask.png",
        "ground_truth/gone/1_mask.png",
    )
    (root / "train" / "good" / "folder.png").mkdir()
    assert MVTEC.read("set", "cat", root) == expected


def test_category_without_masks_is_read(tmp_path):
    root = touch(tmp_path, *(file for file in WHOLE if not file.startswith("ground_truth")))
    category = MVTEC.read("set", "cat", root)
    assert not category.has_masks
    assert len(category.test) == 4


@pytest.mark.parametrize("present", ["good", "crack"])
def test_test_split_may_lack_normal_or_defective_images(tmp_path, present):
    root = touch(tmp_path, "train/good/1.png", f"test/{present}/1.png")
    assert names(MVTEC.read("set", "cat", root).test) == [f"test/{present}/1.png"]


@pytest.mark.parametrize("lost", ["crack/2_mask.png", "break/1_mask.PNG"])
def test_missing_mask_is_refused(tmp_path, lost):
    root = touch(tmp_path, *WHOLE)
    (root / "ground_truth" / lost).unlink()
    if lost.startswith("break"):
        (root / "ground_truth" / "break").rmdir()
    with pytest.raises(
        DatasetError, match=r"1 of 3 .* have no mask.*Add or rename the masks"
    ) as caught:
        MVTEC.read("set", "cat", root)
    kind, stem = lost.partition("/")[0], lost.partition("/")[2].partition("_")[0]
    assert f"test/{kind}/{stem}" in str(caught.value)


def test_jpeg_mask_is_refused(tmp_path):
    root = touch(tmp_path, *WHOLE)
    mask = root / "ground_truth" / "crack" / "2_mask.png"
    mask.rename(mask.with_suffix(".jpg"))
    with pytest.raises(DatasetError, match=r"test/crack/2\.png"):
        MVTEC.read("set", "cat", root)


@pytest.mark.parametrize("name", ["{}.jpg", "{}_mask.JPG", "{}/000.jpg", "{}.webp"])
def test_masks_in_a_foreign_format_are_refused(tmp_path, name):
    root = touch(tmp_path, *(file for file in WHOLE if not file.startswith("ground_truth")))
    for file in WHOLE:
        if file.startswith("test/") and not file.startswith("test/good"):
            kind, stem = Path(file).parent.name, Path(file).stem
            touch(root, f"ground_truth/{kind}/{name.format(stem)}")
    with pytest.raises(MissingMasksError, match=r"\.bmp, \.png, .*not in a mask format") as caught:
        MVTEC.read("set", "cat", root)
    assert not caught.value.category.has_masks
    assert len(caught.value.category.test) == 4


def test_read_me_is_not_a_mask(tmp_path):
    root = touch(tmp_path, *(file for file in WHOLE if not file.startswith("ground_truth")))
    touch(root, "ground_truth/crack/readme.txt", "ground_truth/Thumbs.db")
    assert not MVTEC.read("set", "cat", root).has_masks


@pytest.mark.parametrize(
    ("files", "folder", "remedy"),
    [
        (["train/good/readme.txt", "test/good/1.png"], "train/good", "Put the normal images there"),
        (["train/good/1.png", "test/crack/readme.txt"], "test", "Put the test images there"),
        (["test/good/1.png"], "train/good", "check that it exists"),
        (["train/good/1.png"], "test", "check that it exists"),
    ],
)
def test_empty_and_missing_folders_are_refused(tmp_path, files, folder, remedy):
    root = touch(tmp_path, *files)
    with pytest.raises(DatasetError, match=re.escape(str(root / folder))) as caught:
        MVTEC.read("set", "cat", root)
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    "closed", ["train/good", "train", "test", "test/crack", "ground_truth", "ground_truth/crack"]
)
def test_unreadable_folder_is_refused(tmp_path, run_unprivileged, closed):
    root = touch(tmp_path / "cat", *WHOLE)
    (root / closed).chmod(0)
    with pytest.raises(DatasetError, match="Permission denied") as caught:
        run_unprivileged(lambda: MVTEC.read("set", "cat", root))
    assert str(root / closed) in str(caught.value)
