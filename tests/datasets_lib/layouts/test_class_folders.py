"""Class folders: what is one, how it is read, and what is refused."""

from pathlib import Path

import pytest
from torchvision.datasets import ImageFolder

from datasets_lib.discover import find_datasets
from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.class_folders import find, read


def write(root, *files):
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def shapes(root, judged="test"):
    return write(
        root,
        *(f"train/{name}/{n}.png" for name in ("disc", "ring", "star") for n in range(3)),
        *(f"{judged}/{name}/{n}.png" for name in ("disc", "ring", "star") for n in range(2)),
    )


@pytest.mark.parametrize("judged", ["test", "val"])
def test_labels_and_files_are_those_of_torchvision(tmp_path, judged):
    root = shapes(tmp_path / "Shapes 3", judged)
    found = read(root)
    assert found.name == "shapes_3"
    for split, folder in ((found.train, "train"), (found.test, judged)):
        expected = ImageFolder(root / folder)
        assert list(split.classes) == expected.classes == list(found.classes)
        files = [
            (str(sample.image), label)
            for sample, label in zip(split.samples, split.labels, strict=True)
        ]
        assert files == expected.samples
        assert list(split.names) == [
            Path(path).relative_to(root).as_posix() for path, _ in expected.samples
        ]


def test_classes_and_files_are_in_natural_order_and_hidden_ones_are_passed_over(tmp_path):
    root = write(
        tmp_path / "set",
        *("train/class10/10.png", "train/class10/2.JPEG", "train/class2/1.bmp"),
        *("train/.cache/1.png", "train/class2/.1.png", "train/class2/notes.txt", "train/read.me"),
        *("test/class2/1.png", "test/class10/1.png", "test/class10/deeper/1.png"),
    )
    found = read(root)
    assert found.classes == ("class2", "class10")
    assert found.train.names == (
        "train/class2/1.bmp",
        "train/class10/2.JPEG",
        "train/class10/10.png",
    )
    assert (found.train.labels, found.test.labels) == ((0, 1, 1), (0, 1))


def test_test_is_judged_where_val_is_there_too(tmp_path):
    root = shapes(shapes(tmp_path / "set", "val"), "test")
    assert read(root).test.names[0] == "test/disc/0.png"


def test_a_test_split_without_class_folders_leaves_val_to_judge(tmp_path):
    root = write(shapes(tmp_path / "set", "val"), "test/images/1.png")
    assert read(root).test.names[0] == "val/disc/0.png"


def test_a_class_need_not_be_judged_but_must_be_trained(tmp_path):
    root = write(shapes(tmp_path / "set"), "train/unseen/1.png")
    assert read(root).classes == ("disc", "ring", "star", "unseen")
    assert set(read(root).test.labels) == {0, 1, 2}
    write(root, "test/other/1.png")
    with pytest.raises(DatasetError, match=r"train has not: 'other'\. .*rename"):
        read(root)


def test_a_class_folder_without_images_is_named(tmp_path):
    root = write(shapes(tmp_path / "set"), "train/void/notes.txt")
    with pytest.raises(DatasetError, match=r"train/void holds no image.*\.png"):
        read(root)


def test_a_name_that_no_record_can_hold_is_refused(tmp_path):
    root = shapes(tmp_path / "set")
    try:
        (root / "train" / "disc" / "\udcff.png").touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    with pytest.raises(DatasetError, match="not UTF-8"):
        read(root)


def test_what_is_no_set_of_class_folders_says_what_was_wanted(tmp_path):
    with pytest.raises(DatasetError, match="train/<class>"):
        read(write(tmp_path / "set", "train/one/1.png", "test/one/1.png"))
    with pytest.raises(DatasetError, match="cannot be listed"):
        read(tmp_path / "absent")


@pytest.mark.parametrize(
    "files",
    [
        # A category of MVTec AD's layout where a dataset is looked for; also with known defects.
        ("train/good/1.png", "test/good/1.png", "test/hole/1.png"),
        (
            *("train/good/1.png", "train/hole/1.png", "test/good/1.png", "test/hole/1.png"),
            "ground_truth/hole/1.png",
        ),
        # Detection and segmentation.
        ("train/images/1.png", "train/labels/1.txt", "test/images/1.png", "test/labels/1.txt"),
        ("train/images/1.png", "train/masks/1.png", "val/images/1.png", "val/masks/1.png"),
        ("train/a/1.png", "train/b/1.png"),
        ("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/c/1.png"),
        ("a/1.png", "b/1.png"),
    ],
)
def test_other_layouts_are_not_taken_for_class_folders(tmp_path, files):
    assert find(write(tmp_path / "set", *files)) is None
    assert find_datasets([tmp_path]) == {}


def test_discovery_says_what_is_asked_of_each_set(tmp_path):
    shapes(tmp_path / "Shapes")
    # Categories of an anomaly set may have any name, that of a split too.
    for category in ("candle", "train", "test"):
        write(
            tmp_path / "visa_like" / category,
            *("train/good/1.png", "train/bad/1.png", "test/good/1.png", "test/bad/1.png"),
        )
    shapes(tmp_path / "cifar10")  # as image files, not as the publisher's
    found = find_datasets([tmp_path])
    assert {name: dataset.task for name, dataset in found.items()} == {
        "cifar10": "classification",
        "shapes": "classification",
        "visa_like": "anomaly",
    }
    assert (
        found["shapes"].reader
        == found["cifar10"].reader
        == "datasets_lib.layouts.class_folders:read"
    )
    assert not found["shapes"].categories


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digits", "built-in"),
        ("VisA", "'visa' is the name of .* for anomaly"),
        ("dtd", "'dtd' is the name of .* for texture"),
    ],
)
def test_the_name_of_a_known_set_for_something_else_is_refused(tmp_path, name, message):
    shapes(tmp_path / name)
    with pytest.raises(DatasetError, match=f"{message}.*Rename"):
        find_datasets([tmp_path])


def test_two_folders_of_one_id_are_an_error_across_tasks(tmp_path):
    shapes(tmp_path / "a" / "my set")
    write(tmp_path / "b" / "my_set", "x/train/good/1.png", "x/test/good/1.png")
    with pytest.raises(DatasetError, match="'my_set'"):
        find_datasets([tmp_path / "a", tmp_path / "b"])
