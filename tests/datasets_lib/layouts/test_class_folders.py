"""Class folders: what counts as one, how it is read, and what is refused."""

import unicodedata
from pathlib import Path

import pytest
from dataset_files import touch
from torchvision.datasets import ImageFolder

from datasets_lib.discover import NameTakenError, find_datasets, recognize
from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.class_folders import find, read


def shapes(root, test_split="test"):
    return touch(
        root,
        *(f"train/{name}/{n}.png" for name in ("disc", "ring", "star") for n in range(3)),
        *(f"{test_split}/{name}/{n}.png" for name in ("disc", "ring", "star") for n in range(2)),
    )


def test_images_in_formats_that_are_not_read_are_an_error(tmp_path):
    root = touch(shapes(tmp_path), "train/ring/0.nef", "train/ring/9.webp", "train/ring/10.jfif")
    assert len(read(root).train) == 11
    touch(root, "test/ring/9.avif")
    with pytest.raises(DatasetError, match=r"test/ring holds 1 images .*not read \(9\.avif\)"):
        read(root)


@pytest.mark.parametrize("test_split", ["test", "val"])
def test_class_folders_match_torchvision_image_folder(tmp_path, test_split):
    root = shapes(tmp_path / "Shapes 3", test_split)
    found = read(root)
    assert found.name == "shapes_3"
    for split, folder in ((found.train, "train"), (found.test, test_split)):
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


def test_classes_and_files_are_in_natural_order_without_hidden_ones(tmp_path):
    root = touch(
        tmp_path / "set",
        *("train/class10/10.png", "train/class10/2.JPEG", "train/class2/1.bmp"),
        *("train/.cache/1.png", "train/class2/.1.png", "train/class2/notes.txt", "train/read.me"),
        *("test/class2/1.png", "test/class10/1.png", "test/class10/masks/1.png"),
    )
    found = read(root)
    assert found.classes == ("class2", "class10")
    assert found.train.names == (
        "train/class2/1.bmp",
        "train/class10/2.JPEG",
        "train/class10/10.png",
    )
    assert (found.train.labels, found.test.labels) == ((0, 1, 1), (0, 1))


def test_test_split_is_preferred_to_val(tmp_path):
    root = shapes(shapes(tmp_path / "set", "val"), "test")
    assert read(root).test.names[0] == "test/disc/0.png"


def test_val_is_the_test_split_if_test_has_no_class_folders(tmp_path):
    root = touch(shapes(tmp_path / "set", "val"), "test/images/1.png")
    assert read(root).test.names[0] == "val/disc/0.png"


def test_test_classes_must_have_training_images(tmp_path):
    root = touch(shapes(tmp_path / "set"), "train/unseen/1.png")
    assert read(root).classes == ("disc", "ring", "star", "unseen")
    assert set(read(root).test.labels) == {0, 1, 2}
    touch(root, "test/other/1.png")
    with pytest.raises(DatasetError, match=r"train lacks: 'other'\. .*rename"):
        read(root)


def test_empty_class_folder_is_refused(tmp_path):
    root = touch(shapes(tmp_path / "set"), "train/void/notes.txt")
    with pytest.raises(DatasetError, match=r"train/void holds no image.*\.png"):
        read(root)


@pytest.mark.parametrize(
    ("file", "own"),
    [("train/disc/day 2/5.png", ", and 3 directly"), ("train/cube/day/1/5.png", "")],
)
def test_images_deeper_than_their_class_are_refused(tmp_path, file, own):
    root = touch(shapes(tmp_path / "set"), file)
    folder = root.joinpath(*Path(file).parts[:2])
    said = f"{folder} holds images in folders in it, such as {root / file}{own}: .*Move them up"
    with pytest.raises(DatasetError, match=said):
        read(root)


def test_name_that_is_not_utf8_is_refused(tmp_path):
    root = shapes(tmp_path / "set")
    try:
        (root / "train" / "disc" / "\udcff.png").touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    with pytest.raises(DatasetError, match="not UTF-8"):
        read(root)


def test_other_folders_are_refused_with_the_expected_layout(tmp_path):
    with pytest.raises(DatasetError, match="train/<class>"):
        read(touch(tmp_path / "set", "train/one/1.png", "test/one/1.png"))
    with pytest.raises(DatasetError, match="cannot be listed"):
        read(tmp_path / "absent")


@pytest.mark.parametrize(
    "files",
    [
        # A category in MVTec AD's layout where a dataset is expected; also with known defects.
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
def test_other_layouts_are_not_class_folders(tmp_path, files):
    assert find(touch(tmp_path / "set", *files)) is None
    assert find_datasets([tmp_path]) == {}


def test_discovery_assigns_the_task(tmp_path):
    shapes(tmp_path / "Shapes")
    # Categories of an anomaly set may have any name, even that of a split.
    for category in ("candle", "train", "test"):
        touch(
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
def test_name_of_a_set_for_another_task_is_passed_over_with_its_reason(tmp_path, name, message):
    root = shapes(tmp_path / name)
    with pytest.raises(NameTakenError, match=f"{message}.*rename"):
        recognize(root)
    shapes(tmp_path / "other")
    assert list(find_datasets([tmp_path])) == ["other"]


def test_duplicate_ids_across_tasks_are_refused(tmp_path):
    shapes(tmp_path / "a" / "my set")
    touch(tmp_path / "b" / "my_set", "x/train/good/1.png", "x/test/good/1.png")
    with pytest.raises(DatasetError, match="'my_set'"):
        find_datasets([tmp_path / "a", tmp_path / "b"])


@pytest.mark.parametrize("extra", ["train/Disc", "test/DISC", "TRAIN/disc", "Test/ring"])
def test_two_folders_of_one_name_are_refused(tmp_path, extra):
    root = shapes(tmp_path / "Shapes")
    if (root / extra).exists():
        pytest.skip("this file system ignores case")
    touch(root, f"{extra}/9.png")
    split = extra.partition("/")[0]
    twin = split if split != split.lower() else extra
    with pytest.raises(DatasetError, match=r"have one name.*Merge them") as caught:
        read(root)
    assert f"{root / twin} " in str(caught.value)
    assert f"{root / twin.lower()} " in str(caught.value).replace(",", " ")
    # A dataset all the same: the error names it when it is read, and others are found.
    assert list(find_datasets([tmp_path])) == ["shapes"]


def test_two_normal_forms_of_a_name_are_refused(tmp_path):
    root = shapes(tmp_path / "set")
    for form in ("NFC", "NFD"):
        touch(root, f"train/{unicodedata.normalize(form, '링')}/1.png")
    if len(list((root / "train").iterdir())) < 5:
        pytest.skip("this file system normalizes names")
    with pytest.raises(DatasetError, match=r"Unicode normalization.*Merge them"):
        read(root)
