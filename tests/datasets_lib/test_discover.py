import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from case_names import case_named
from hypothesis import given
from hypothesis import strategies as st

from bench.case import Case
from datasets_lib.discover import NameTakenError, find_datasets, recognize
from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.folders import folder_id
from datasets_lib.paths import absolute_path, data_dirs


def make(folder, *categories):
    for category in categories:
        (folder / category / "train" / "good").mkdir(parents=True)
        (folder / category / "test").mkdir()
    return folder


def test_discovery_skips_other_folders(tmp_path):
    make(tmp_path / "Magnetic Tiles", "Break-2", "crack")
    (tmp_path / "Magnetic Tiles" / "notes").mkdir()
    (tmp_path / "Magnetic Tiles" / "readme.txt").touch()
    (tmp_path / "weights").mkdir()
    (tmp_path / "half" / "cat" / "train" / "good").mkdir(parents=True)  # no test
    (tmp_path / "file.png").touch()
    make(tmp_path / ".hidden", "crack")
    found = find_datasets([tmp_path])
    assert list(found) == ["magnetic_tiles"]
    dataset = found["magnetic_tiles"]
    assert (dataset.name, dataset.root) == ("magnetic_tiles", tmp_path / "Magnetic Tiles")
    assert dict(dataset.categories) == {
        "break_2": dataset.root / "Break-2",
        "crack": dataset.root / "crack",
    }


def test_data_dirs_join_and_duplicates_count_once(tmp_path):
    make(tmp_path / "a" / "one", "x")
    make(tmp_path / "b" / "two", "x")
    again = tmp_path / "b" / ".." / "a"
    assert list(find_datasets([tmp_path / "b", tmp_path / "a", again])) == ["one", "two"]


def test_duplicate_dataset_ids_are_refused(tmp_path):
    first, second = make(tmp_path / "a" / "my set", "x"), make(tmp_path / "b" / "My_Set", "y")
    with pytest.raises(DatasetError) as caught:
        find_datasets([tmp_path / "a", tmp_path / "b"])
    assert str(first) in str(caught.value)
    assert str(second) in str(caught.value)
    assert "'my_set'" in str(caught.value)


def test_categories_of_one_id_are_told_apart(tmp_path):
    root = make(tmp_path / "set", "front-side", "front side", "front_side", "Front Side")
    categories = find_datasets([tmp_path])["set"].categories
    assert categories["front_side"] == root / "front_side"
    assert set(categories.values()) == set(root.iterdir())
    assert all(re.fullmatch("front_side(_[0-9a-f]{4})?", name) for name in categories)
    # The digits depend only on the name.
    (root / "front side").rename(tmp_path / "elsewhere")
    again = find_datasets([tmp_path])["set"].categories
    assert again.items() <= categories.items()


def test_datasets_of_one_id_are_told_apart(tmp_path):
    first, second = make(tmp_path / "_old", "x"), make(tmp_path / "(old)", "x")
    assert {dataset.root for dataset in find_datasets([tmp_path]).values()} == {first, second}


def test_one_name_in_two_normal_forms_is_refused(tmp_path):
    forms = [unicodedata.normalize(form, "볼트") for form in ("NFC", "NFD")]
    root = make(tmp_path / "set", *forms)
    if len(list(root.iterdir())) == 1:
        pytest.skip("this file system knows one form")
    with pytest.raises(DatasetError, match="'bolteu_"):
        find_datasets([tmp_path])


@pytest.mark.parametrize(("name", "words"), [("Surface", "built-in"), ("CIFAR10", "CIFAR-10")])
def test_a_folder_whose_name_is_taken_is_skipped_alone(tmp_path, name, words):
    folder = make(tmp_path / name, "x")
    make(tmp_path / "mine", "x")
    assert list(find_datasets([tmp_path])) == ["mine"]
    with pytest.raises(NameTakenError, match=rf"{words}.*rename the folder"):
        recognize(folder)


def test_missing_data_dir_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="--data-dir") as caught:
        find_datasets([tmp_path / "absent"])
    assert str(tmp_path / "absent") in str(caught.value)


def test_unreadable_folders_do_not_stop_discovery(tmp_path, run_unprivileged):
    make(tmp_path / "set", "open", "closed", "inside")
    make(tmp_path / "secret", "x")
    (tmp_path / "set" / "closed").chmod(0)
    (tmp_path / "set" / "inside" / "train" / "good").chmod(0)
    (tmp_path / "secret").chmod(0)

    def names():
        found = find_datasets([tmp_path])
        return {name: list(dataset.categories) for name, dataset in found.items()}

    # Known by its neighbor or from outside, a closed category stays and its case says why.
    assert run_unprivileged(names) == {"set": ["closed", "inside", "open"]}


@given(st.text(min_size=1))
def test_ids_follow_the_rule_of_case_ids(name):
    value = folder_id(name)
    assert re.fullmatch("[a-z0-9][a-z0-9_]*", value)
    assert folder_id(value) == value
    for form in ("NFC", "NFD"):
        assert folder_id(unicodedata.normalize(form, name)) == value
    case = Case("study", "model", value, value, "default", True, 0)
    assert case_named(case.id) == case


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MVTec AD-2", "mvtec_ad_2"),
        ("_old", "old"),
        ("(copy) parts", "copy__parts"),
        ("부품", "bupum"),
        ("너트", "neoteu"),
        ("零件", "u96f6u4ef6"),
        ("Größe é", "grosse_e"),
        ("Болт", "beoelte"),
        ("ねじ", "nezi"),
        ("٣mm", "3mm"),
        ("++", "u2bu2b"),
    ],
)
def test_names_of_any_script_become_ids_that_a_keyboard_types(name, value):
    assert folder_id(name) == value


@pytest.mark.parametrize("folder", ["MVTecAD", "mvtec-ad", "MVTec_AD", "MVTec AD", "mvtec"])
def test_spellings_of_a_catalog_set_are_known(tmp_path, folder):
    make(tmp_path / folder, "bottle")
    assert list(find_datasets([tmp_path])) == ["mvtec"]


JUNK = [".DS_Store", "@eaDir", "#recycle", "__MACOSX", "$RECYCLE.BIN", "System Volume Information"]


@pytest.mark.parametrize("junk", JUNK)
def test_what_systems_leave_is_no_dataset_and_no_category(tmp_path, junk):
    make(tmp_path / "set", "x", junk)
    make(tmp_path / junk, "x")
    assert list(find_datasets([tmp_path])) == ["set"]
    assert list(find_datasets([tmp_path])["set"].categories) == ["x"]


DISCOVER = """
import sys, pathlib
from datasets_lib.discover import find_datasets

folder, read = sys.argv[1], []
def note(event, args):
    if event in ("open", "os.listdir", "os.scandir") and str(args[0]).startswith(folder):
        read.append(args[0])

sys.addaudithook(note)
assert len(find_datasets([pathlib.Path(folder)])) == 40
assert not {"torch", "PIL", "numpy"} & set(sys.modules)
print(len(read), len(set(read)))
"""


def test_discovery_lists_each_dataset_once_and_is_light(tmp_path):
    for number in range(40):
        make(tmp_path / f"set{number}", *(f"category{i}" for i in range(10)))
    done = subprocess.run(
        [sys.executable, "-c", DISCOVER, tmp_path], capture_output=True, text=True, check=True
    )
    # The data folder and its 40 sets, but none of the 400 categories.
    assert done.stdout.split() == ["41", "41"]


def test_a_link_to_a_dataset_is_followed(tmp_path):
    real = make(tmp_path / "elsewhere" / "set", "x")
    data = tmp_path / "data"
    data.mkdir()
    (data / "linked").symlink_to(real)
    assert find_datasets([data])["linked"].categories["x"] == data / "linked" / "x"


def test_first_data_dir_wins_for_a_catalog_set(tmp_path):
    make(tmp_path / "a" / "mvtec", "bottle")
    make(tmp_path / "b" / "MVTec AD", "cable")
    first, second = tmp_path / "a", tmp_path / "b"
    assert list(find_datasets([first, second])["mvtec"].categories) == ["bottle"]
    assert list(find_datasets([second, first])["mvtec"].categories) == ["cable"]


def test_two_folders_of_a_catalog_set_are_refused(tmp_path):
    make(tmp_path / "mvtec", "bottle")
    make(tmp_path / "mvtec_ad", "cable")
    with pytest.raises(DatasetError, match="'mvtec'"):
        find_datasets([tmp_path])


def test_empty_parts_of_the_variable_are_no_folder(tmp_path, monkeypatch):
    parts = ["", str(tmp_path / "a"), "", str(tmp_path / "b"), ""]
    monkeypatch.setenv("PROVING_GROUND_DATA", os.pathsep.join(parts))
    assert data_dirs(None, tmp_path / "cache") == (tmp_path / "a", tmp_path / "b")


def test_paths_lose_their_dots_and_keep_their_links(tmp_path, monkeypatch):
    for folder in ("real/inner", "data"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "inner")
    monkeypatch.chdir(tmp_path / "real")
    given = [Path("../data"), Path("../link"), Path("../link/../../data")]
    assert list(map(absolute_path, given)) == [
        tmp_path / "data",
        tmp_path / "real" / "inner",
        tmp_path / "data",
    ]
    assert absolute_path(tmp_path / "link") == tmp_path / "link"
    assert data_dirs(given[:1], tmp_path) == (tmp_path / "data",)
