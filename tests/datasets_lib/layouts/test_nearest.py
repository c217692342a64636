"""Folders that are not datasets: what they resemble, and what to rename."""

import pytest
from dataset_files import touch

from datasets_lib.discover import find_datasets, recognize
from datasets_lib.layouts.nearest import deeper, nearest_layout

LAYOUTS = {
    "images alone": (["1.png", "2.jpg"], "put normal ones into normal"),
    "a category": (["train/good/1.png", "test/good/1.png", "test/cut/1.png"], "one category"),
    "no test": (["train/good/1.png"], "no test next to it"),
    "kinds": (["good/1.png", "cut/1.png", "mask/cut/1.png"], "cut into abnormal/cut; masks stay"),
    "normal alone": (["normal/1.png"], "no defective images"),
    "abnormal alone": (["NG/1.png"], "NG and no normal images"),
    "flat classes": (["bolt/1.png", "nut/1.png"], "the classes bolt, nut without a split"),
    "Korean classes": (["너트/1.png", "볼트/1.png"], "너트, 볼트 without a split"),
    "classes without a test": (["train/bolt/1.png", "train/nut/1.png"], "no test, val or valid"),
    "other classes": (
        ["train/bolt/1.png", "train/nut/1.png", "test/screw/1.png"],
        "give the classes the same names",
    ),
    "one class": (["train/fine/1.png", "test/fine/1.png", "test/cut/1.png"], "rename it to good"),
    "classes with masks": (
        [*(f"{split}/{name}/1.png" for split in ("train", "test") for name in "ab"), "masks/1.png"],
        "it has masks next to its images, as sets for detection or segmentation have",
    ),
    "Roboflow": (
        [
            f"{split}/{file}"
            for split in ("train", "valid")
            for file in ("images/1.jpg", "labels/1.txt")
        ],
        "it has train/labels next to its images, as sets for detection",
    ),
    "YOLO": (
        ["images/train/1.jpg", "images/val/2.jpg", "labels/train/1.txt"],
        "it has labels next",
    ),
    "COCO": (["train2017/1.jpg", "val2017/2.jpg", "annotations/a.json"], "it has annotations next"),
    "segmentation": (["images/1.jpg", "masks/1.png"], "it has masks next to its images"),
    "masks of kinds": (
        ["c/train/1.png", "c/test/cut/1.png", "c/ground_truth/cut/1.png"],
        "c/train holds images directly: move them into train/good",
    ),
    "images in train": (["c/train/1.png", "c/test/cut/1.png"], "c/train holds images directly"),
    "another word": (["c/train/perfect/1.png", "c/test/cut/1.png"], "c/train holds perfect"),
    "other splits": (["c/training/good/1.png", "c/testing/cut/1.png"], "rename its splits"),
    "category without a test": (["c/train/good/1.png"], "c has train and no test"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_nearest_layout_says_what_to_rename(tmp_path, name):
    files, hint = LAYOUTS[name]
    folder = touch(tmp_path / "mine", *files, ".DS_Store", "@eaDir/1.png", "Thumbs.db")
    assert recognize(folder) is None
    assert hint in nearest_layout(folder)


@pytest.mark.parametrize("files", [["notes.txt"], ["photos/readme.txt"], []])
def test_what_holds_no_images_resembles_nothing(tmp_path, files):
    (tmp_path / "mine").mkdir()
    assert nearest_layout(touch(tmp_path / "mine", *files)) is None


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_a_dataset_below_is_found(tmp_path, levels):
    outer = tmp_path / "/".join("abc"[:levels])
    touch(outer, "set/x/train/good/1.png", "set/x/test/good/1.png")
    assert deeper(tmp_path / "a", lambda folder: recognize(folder) is not None) == (outer, levels)


@pytest.mark.parametrize("split", ["test", "Test", "val", "valid", "Validation", "testing"])
@pytest.mark.parametrize("train", ["train", "Train", "training"])
def test_class_folders_of_every_spelling_are_read(tmp_path, split, train):
    files = [f"{folder}/{name}/1.png" for folder in (train, split) for name in ("Bolt", "너트")]
    touch(tmp_path / "set", *files, "@eaDir/1.png", f"{train}/@eaDir/x.png")
    [found] = find_datasets([tmp_path]).values()
    assert found.task == "classification"
