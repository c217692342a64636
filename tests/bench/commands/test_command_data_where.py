"""Folder problems in ``data where``, ``data list`` and ``doctor``."""

import os
import subprocess
import sys

import pytest

from bench.__main__ import main

COMMANDS = (["data", "list"], ["data", "where"], ["doctor"])


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def data(tmp_path, write_category):
    """Write a data folder with one dataset."""
    write_category(tmp_path / "data" / "bars" / "short", 2, 1, 1)
    return tmp_path / "data"


@pytest.fixture
def where(capsys):
    """Return a function that runs ``data where`` on a folder and returns its output."""

    def run(folder):
        assert main(["data", "where", "--data-dir", str(folder)]) == 0
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_missing_folder_does_not_hide_others(tmp_path, data, command, capsys):
    places = ["--data-dir", str(tmp_path / "gone"), "--data-dir", str(data)]
    assert main([*command, *places]) == 0
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if str(tmp_path / "gone") in line)
    assert "no such folder" in line
    assert str(data / "bars") in out


def test_file_instead_of_a_folder_is_reported(tmp_path, where):
    (tmp_path / "file").touch()
    assert "cannot be listed: Not a directory" in where(tmp_path / "file")


@pytest.mark.parametrize("command", COMMANDS)
def test_unprintable_folder_names_are_escaped(root, tmp_path, write_category, command):
    parent = os.fsdecode(os.fsencode(tmp_path) + b"/d\xff\n\x1b[31m")
    write_category(tmp_path / "data" / "bars" / "short", 2, 1, 1)
    (tmp_path / "data").rename(parent)
    strict = os.environ | {"PYTHONIOENCODING": "ascii:strict", "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-m", "bench", *command, "--data-dir", parent],
        capture_output=True,
        env=strict,
        check=True,
    )
    said = done.stdout.decode("ascii")
    assert rf"{tmp_path}/d\udcff\n\x1b[31m/bars" in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("deep", "said"),
    [
        ("bars", "this is the dataset bars itself: name {} with --data-dir"),
        ("bars/short", "this is a category of bars itself: name {} with --data-dir"),
    ],
)
def test_too_deep_folder_names_the_right_one(data, where, deep, said):
    assert said.format(data) in where(data / deep)
    out = where(data)
    assert "itself" not in out
    assert "passed over" not in out
    assert f"bars, 1 category: {data / 'bars'} (anomaly, " in out


def test_a_folder_of_normal_and_abnormal_images_is_a_dataset_unless_it_has_siblings(
    tmp_path, where, write_category
):
    def plain(folder):
        whole = write_category(tmp_path / "whole" / folder.name, 4, 1, 2)
        folder.mkdir(parents=True)
        (whole / "train" / "good").rename(folder / "normal")
        (whole / "test" / "spot").rename(folder / "abnormal")

    mine = tmp_path / "mine"
    plain(mine / "parts")
    said = where(mine / "parts")
    assert f"this is the dataset parts itself: name {mine} with --data-dir" in said
    plain(mine / "other")
    said = where(mine / "parts")
    assert f"this is a category of mine itself: name {tmp_path} with --data-dir" in said


def test_skipped_folders_have_a_hint(data, where, write_category):
    write_category(data / "outer" / "rods" / "long", 2, 1, 1)
    (data / "empty").mkdir()
    (data / "packed").mkdir()
    (data / "packed" / "set.tar.gz").touch()
    (data / "mvtec" / "notes").mkdir(parents=True)
    (data / "custom" / "odd").mkdir(parents=True)
    for number in range(9):
        (data / "custom" / "odd" / f"{number}.txt").touch()
    lines = [line.strip() for line in where(data).splitlines() if "passed over" in line]
    deeper = f"a dataset lies one level deeper: name {data / 'outer'} with --data-dir"
    assert lines == [
        f"passed over {data / 'custom' / 'odd'}: not laid out as any dataset: it holds "
        "0.txt, 1.txt, 2.txt, 3.txt, …",
        f"passed over {data / 'empty'}: it is empty",
        f"passed over {data / 'mvtec'}: not laid out as MVTec AD: it holds notes",
        f"passed over {data / 'outer'}: {deeper}",
        f"passed over {data / 'packed'}: it holds archives: python -m bench data prepare unpacks "
        "one",
    ]


def test_hint_leads_to_the_dataset(data, where, write_category):
    write_category(data / "outer" / "rods" / "long", 2, 1, 1)
    assert f"rods, 1 category: {data / 'outer' / 'rods'}" in where(data / "outer")


def test_folders_next_to_categories_have_a_hint(data, where, write_category):
    def copy_of(name, **renamed):
        folder = write_category(data / "bars" / name, 2, 1, 1)
        for old, new in renamed.items():
            (folder / old).rename(folder / new)

    copy_of("half", test="tset")
    copy_of("lost", train="trian")
    copy_of("odd", **{"train/good": "train/perfect"})
    write_category(data / "bars" / "more" / "nut", 2, 1, 1)
    (data / "bars" / "docs").mkdir()
    (data / "bars" / "docs" / "read.me").touch()
    write_category(data / "bars" / "masks", 2, 1, 1).joinpath("test").rename(data / "bars/masks/t")
    lines = [line.strip() for line in where(data).splitlines() if "passed over" in line]
    assert lines == [
        f"passed over {data / 'bars/half'}: half has train and no test: wanted half/test/<kind>",
        f"passed over {data / 'bars/lost'}: not laid out as the categories next to it: it holds "
        "ground_truth, test, trian",
        f"passed over {data / 'bars/more'}: it is a dataset of its own: move it next to the one "
        "that it lies in",
        f"passed over {data / 'bars/odd'}: odd/train holds perfect: rename the folder of normal "
        "images to good",
    ]


def test_masks_of_no_category_have_a_hint(data, where, write_category):
    long = write_category(data / "bars/long", 2, 1, 1)
    (data / "bars/masks").mkdir()
    for category in (data / "bars/short", long):
        (category / "ground_truth").rename(data / "bars/masks" / category.name)
    assert "passed over" not in where(data)
    (data / "bars/masks/long").rename(data / "bars/masks/lnog")
    assert (
        f"passed over {data / 'bars/masks/lnog'}: its masks belong to no category: wanted "
        "masks/<category>"
    ) in where(data)
    (data / "bars/masks/short").rename(data / "bars/masks/shrot")
    assert f"passed over {data / 'bars/masks'}: its masks belong to no category" in where(data)


@pytest.mark.parametrize(
    ("classes", "is_said"),
    [(("normal", "abnormal"), True), (("OK", "NG"), True), (("good", "cat"), False)],
)
def test_a_set_of_normal_and_abnormal_classes_says_how_it_is_read(
    tmp_path, where, classes, is_said
):
    for place in (f"{split}/{name}" for split in ("train", "test") for name in classes):
        (tmp_path / "na" / place).mkdir(parents=True)
        (tmp_path / "na" / place / "1.png").touch()
    said = where(tmp_path)
    assert f"na: {tmp_path / 'na'} (classification, " in said
    hint = (
        f"{tmp_path / 'na'} is read as classification; for anomaly detection put it in "
        f"{tmp_path / 'na'}/<category>"
    )
    assert (hint in said) == is_said


def test_the_folders_of_a_single_category_are_not_passed_over(tmp_path, where, write_category):
    whole = write_category(tmp_path / "whole", 4, 1, 2)
    (tmp_path / "mine" / "parts").mkdir(parents=True)
    (whole / "train" / "good").rename(tmp_path / "mine/parts/normal")
    (whole / "test" / "spot").rename(tmp_path / "mine/parts/abnormal")
    assert "passed over" not in where(tmp_path / "mine")
