"""Verification of classification sets and textures, against sets with one thing wrong each."""

import numpy as np
import pytest
from dataset_files import touch, write_image
from PIL import Image

from datasets_lib.entry import Counts
from datasets_lib.layouts.category import Sample
from datasets_lib.layouts.class_folders import read
from datasets_lib.layouts.classification import Classification, FileSplit, PixelSplit
from datasets_lib.verify.images import Problem
from datasets_lib.verify.sets import Check, Report, excusing, verify_labeled, verify_textures

CLASSES = ("ant", "bee")


def split(name, count, labels=None):
    rng = np.random.default_rng(len(name))
    return PixelSplit(
        classes=CLASSES,
        names=tuple(f"{name}/{number}" for number in range(count)),
        labels=np.array(labels or [number % 2 for number in range(count)]),
        images=rng.integers(0, 256, (count, 4, 4, 3), np.uint8),
    )


@pytest.fixture
def verified(tmp_path):
    def verify(train, test, expected=None):
        found = Classification("mine", train, test)
        report = verify_labeled("mine", tmp_path, lambda root: found, Check(expected))
        return [(problem.kind, problem.where) for problem in report.problems]

    return verify


def test_a_whole_set_verifies(verified):
    assert verified(split("train", 6), split("test", 4), Counts(6, 4)) == []


def test_counts_and_labels_are_checked(verified):
    assert verified(split("train", 6, [0, 1, 2, -1, 0, 1]), split("test", 4), Counts(5, 4)) == [
        ("6 train images, the publisher says 5", ""),
        ("label outside the classes", "-1 (1 train images)"),
        ("label outside the classes", "2 (1 train images)"),
    ]
    assert verified(split("train", 4), split("test", 2, [0, 0])) == [
        ("class without test images", "bee")
    ]


def test_the_same_pixels_in_train_and_test_are_found(verified):
    train, test = split("train", 6), split("test", 4)
    test.images[2] = train.images[5]
    assert verified(train, test) == [("the same pixels in train and test", "train/5 = test/2")]


def test_one_test_image_of_two_classes_is_found(verified):
    test = split("test", 4)
    test.images[3] = test.images[0]
    assert verified(split("train", 6), test) == [
        ("the same pixels under two labels", "test/0 (ant) = test/3 (bee)")
    ]


def test_files_are_decoded(verified, tmp_path):
    rng = np.random.default_rng(1)
    for name in "abcd":
        Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "d.png").write_bytes(b"")

    def files(names):
        return FileSplit(CLASSES, tuple(Sample(n, tmp_path / f"{n}.png") for n in names), (0, 1))

    [(kind, where)] = verified(files("ab"), files("cd"))
    assert (kind, where.partition(":")[0]) == ("unreadable", "d")


def files_of_classes(folder):
    for n, file in enumerate(("train/ant/1", "train/bee/1", "test/ant/1", "test/bee/1")):
        write_image(folder / f"{file}.png", n)
    return read(folder)


def stored_pixels(folder):
    return Classification("mine", split("train", 6), split("test", 4))


@pytest.mark.parametrize(
    ("reader", "seen"),
    [
        (files_of_classes, [(1, 4), (2, 4), (3, 4), (4, 4)]),
        (stored_pixels, [(6, 10), (10, 10)]),
    ],
)
def test_progress_counts_both_splits_as_one(tmp_path, reader, seen):
    shown = []
    verify_labeled("mine", tmp_path, reader, Check(progress=lambda *at: shown.append(at)))
    assert shown == seen


def test_textures_are_decoded(tmp_path):
    Image.new("RGB", (6, 6)).save(tmp_path / "bark.png")
    (tmp_path / "moss.jpg").write_bytes(b"\xff\xd8 no")
    files = [tmp_path / "bark.png", tmp_path / "moss.jpg"]
    report = verify_textures("mine", tmp_path, lambda root: files, Check(Counts(2, 0)))
    assert report.counts == Counts(2, 0)
    assert [(p.kind, p.where.partition(":")[0]) for p in report.problems] == [
        ("unreadable", "moss.jpg")
    ]


def test_flaws_as_published_are_notes_and_no_problems():
    problems = (Problem("a kind", "1"), Problem("a kind", "2"), Problem("another", "3"))
    report = Report("mine", None, problems, ("10×10",))
    excused = excusing(report, {"a kind": 2, "another": 2})
    assert [problem.where for problem in excused.problems] == ["3"]
    assert excused.notes == ("10×10", "2 with a kind, as published")


def test_files_that_a_classification_set_leaves_out_are_found(tmp_path):
    found = files_of_classes(tmp_path)
    assert verify_labeled("mine", tmp_path, read).notes == ("12×10", "2 classes")
    touch(tmp_path, "train/2.png", "train/ant/3.svg", "val/ant/4.png", "readme.txt")
    report = verify_labeled("mine", tmp_path, read)
    assert report.problems == ()
    assert report.notes[2:] == ("1 images in other folders ignored", "1 files ignored (.svg)")
    # Readers of other layouts may ignore folders below those of images.
    touch(tmp_path, "test/ant/more/5.png")
    report = verify_labeled("mine", tmp_path, lambda root: found)
    assert report.problems == (
        Problem("image deeper than the folders that are read", "test/ant/more/5.png"),
    )
