import re

import pytest
from dataset_files import box, names, touch, write_mask

from datasets_lib.discover import find_datasets, recognize
from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.plain_folders import read_category
from datasets_lib.layouts.split import grouped_by

NORMAL = tuple(f"normal/{n}.png" for n in range(10))
WHOLE = (*NORMAL, "abnormal/1.png", "abnormal/dent/2.png", "abnormal/dent/10.bmp")


def test_single_category_is_called_all(tmp_path):
    root = touch(tmp_path / "data" / "Screws", *WHOLE)
    found = find_datasets([tmp_path / "data"])["screws"]
    assert dict(found.categories) == {"all": root}
    category = read_category("screws", "all", root)
    assert (len(category.train), len(category.test)) == (8, 5)
    assert {*names(category.train), *names(category.test[:2])} == set(NORMAL)
    assert names(category.test[2:]) == [
        "abnormal/1.png",
        "abnormal/dent/2.png",
        "abnormal/dent/10.bmp",
    ]
    assert [sample.defect for sample in category.test[2:]] == ["abnormal", "dent", "dent"]
    assert not category.has_masks


@pytest.mark.parametrize("folder", ["custom/parts", "parts"])
def test_each_category_has_its_folder(tmp_path, folder):
    root = tmp_path / folder
    touch(root, "Cap/good/1.png", "Cap/good/2.png", "Cap/bad/1.png")
    touch(root, "rod/OK/1.png", "rod/KO/1.png", "rod/notes/1.txt", "other/1.png")
    found = find_datasets([tmp_path])["parts"]
    assert dict(found.categories) == {"cap": root / "Cap", "rod": root / "rod"}
    assert len(read_category("parts", "cap", root / "Cap").train) == 1
    assert names(read_category("parts", "rod", root / "rod").test) == ["KO/1.png"]


@pytest.mark.parametrize("abnormal", ["Anomaly", "defect", "ng", "bad"])
def test_synonyms_are_known(tmp_path, abnormal):
    touch(tmp_path, "Good/1.png", f"{abnormal}/1.png")
    assert recognize(tmp_path).reader == "datasets_lib.layouts.plain_folders:read_category"


def test_category_of_another_layout_is_not_a_dataset(tmp_path):
    touch(tmp_path / "01", "train/ok/1.png", "test/ok/1.png", "test/ko/1.png")
    touch(tmp_path / "can", "train/good/1.png", "test_public/good/1.png", "test_public/bad/1.png")
    touch(tmp_path / "half", "normal/1.png")
    assert find_datasets([tmp_path]) == {}


@pytest.mark.parametrize("train", ["training", "train_set", "trn"])
@pytest.mark.parametrize("test", ["test", "Testing", "val"])
def test_splits_are_no_categories(tmp_path, train, test):
    touch(tmp_path / "parts", f"{train}/good/1.png", f"{test}/good/1.png", f"{test}/bad/1.png")
    assert find_datasets([tmp_path]) == {}


@pytest.mark.parametrize("file", ["labels/1.txt", "annotations/all.json"])
def test_labels_without_images_are_no_masks(tmp_path, file):
    root = touch(tmp_path, *WHOLE, file)
    assert not read_category("parts", "all", root).has_masks
    write_mask(root / file.partition("/")[0] / "1.png", box(1, 1))
    with pytest.raises(DatasetError, match="have no mask"):
        read_category("parts", "all", root)


def test_normal_shots_of_a_defective_part_are_tested(tmp_path):
    shots = [f"normal/part{part}_{n}.png" for part in range(10) for n in range(2)]
    root = touch(tmp_path, *shots, *(f"abnormal/part{part}_2.png" for part in range(4)))
    with grouped_by("part[0-9]+"):
        category = read_category("parts", "all", root)
    sides = [
        {sample.image.name.partition("_")[0] for sample in side}
        for side in (category.train, category.test)
    ]
    assert sides[0].isdisjoint(sides[1])
    assert len(category.train) == 2 * 5  # six parts are normal; one of them, a fifth, is tested
    touch(root, *(f"abnormal/part{part}_2.png" for part in range(10)))
    with grouped_by("part[0-9]+"):  # every part has a defect
        category = read_category("parts", "all", root)
    assert len(category.train) == 2 * 8


@pytest.mark.parametrize("folder", ["masks", "Masks", "Ground_Truth"])
def test_masks_match_by_stem_within_the_kind(tmp_path, folder):
    root = touch(tmp_path, *WHOLE)
    masks = [
        write_mask(root / folder / file, box(1, 1))
        for file in ("1.png", "dent/2_mask.png", "dent/10.bmp")
    ]
    category = read_category("set", "all", root)
    assert category.has_masks
    assert [sample.masks for sample in category.test[2:]] == [(mask,) for mask in masks]


def test_missing_mask_is_refused(tmp_path):
    root = touch(tmp_path, *WHOLE)
    write_mask(root / "masks" / "1.png", box(1, 1))
    with pytest.raises(DatasetError, match=r"2 of 3 .*abnormal/dent/2\.png.*masks/<kind>"):
        read_category("set", "all", root)


def test_unused_masks_are_refused(tmp_path):
    root = touch(tmp_path, *NORMAL, "abnormal/dent/2.png")
    write_mask(root / "masks" / "2.png", box(1, 1))
    with pytest.raises(DatasetError, match=r"1 of 1 .*abnormal/dent/2\.png"):
        read_category("set", "all", root)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (["normal/x.txt", "abnormal/1.png"], "0 normal and 1 defective"),
        (["normal/1.png", "abnormal/x.txt"], "1 normal and 0 defective"),
    ],
)
def test_too_few_images_are_refused(tmp_path, files, problem):
    root = touch(tmp_path, *files)
    with pytest.raises(DatasetError, match=problem) as caught:
        read_category("set", "all", root)
    assert str(root) in str(caught.value)


@pytest.mark.parametrize("closed", ["normal", "abnormal", "abnormal/dent", "masks"])
def test_unreadable_folder_is_refused(tmp_path, run_unprivileged, closed):
    root = touch(tmp_path / "set", *WHOLE, "masks/1.png")
    (root / closed).chmod(0)
    with pytest.raises(DatasetError, match=re.escape(str(root / closed))):
        run_unprivileged(lambda: read_category("set", "all", root))
