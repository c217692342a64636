"""Folders as users have them: missing, a level too deep, of any name; ``data where`` and others."""

import os
import subprocess
import sys

import pytest

from bench.__main__ import main

COMMANDS = (["data", "list"], ["data", "where"], ["doctor"])


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """No folders of the user's, no network, no CUDA."""
    for name in ("PROVING_GROUND_DATA", "PROVING_GROUND_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PROVING_GROUND_OFFLINE", "1")
    monkeypatch.setenv("PROVING_GROUND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def data(tmp_path, write_category):
    """A data folder with one set."""
    write_category(tmp_path / "data" / "bars" / "short", 2, 1, 1)
    return tmp_path / "data"


@pytest.fixture
def where(capsys):
    """What ``data where`` says of a folder."""

    def run(folder):
        assert main(["data", "where", "--data-dir", str(folder)]) == 0
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_folder_hides_no_other(tmp_path, data, command, capsys):
    places = ["--data-dir", str(tmp_path / "gone"), "--data-dir", str(data)]
    assert main([*command, *places]) == 0
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if str(tmp_path / "gone") in line)
    assert "no such folder" in line
    assert str(data / "bars") in out


def test_a_file_in_place_of_a_folder_is_told(tmp_path, where):
    (tmp_path / "file").touch()
    assert "cannot be listed: Not a directory" in where(tmp_path / "file")


@pytest.mark.parametrize("command", COMMANDS)
def test_any_folder_name_can_be_printed(root, tmp_path, write_category, command):
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
def test_a_folder_a_level_too_deep_names_the_right_one(data, where, deep, said):
    assert said.format(data) in where(data / deep)
    out = where(data)
    assert "itself" not in out
    assert "ignored" not in out
    assert f"bars, 1 categories: {data / 'bars'}" in out


def test_what_is_passed_over_comes_with_a_hint(data, where, write_category):
    write_category(data / "outer" / "rods" / "long", 2, 1, 1)
    (data / "empty").mkdir()
    (data / "packed").mkdir()
    (data / "packed" / "set.tar.gz").touch()
    (data / "mvtec" / "notes").mkdir(parents=True)
    (data / "custom" / "odd").mkdir(parents=True)
    for number in range(9):
        (data / "custom" / "odd" / f"{number}.txt").touch()
    lines = [line.strip() for line in where(data).splitlines() if "ignored" in line]
    deeper = f"a dataset lies one level deeper: name {data / 'outer'} with --data-dir"
    assert lines == [
        f"ignored {data / 'custom' / 'odd'}: not laid out as any dataset, it holds "
        "0.txt, 1.txt, 2.txt, 3.txt, …",
        f"ignored {data / 'empty'}: it is empty",
        f"ignored {data / 'mvtec'}: not laid out as MVTec AD, it holds notes",
        f"ignored {data / 'outer'}: {deeper}",
        f"ignored {data / 'packed'}: it holds archives: python -m bench data prepare unpacks one",
    ]


def test_the_hint_of_a_level_leads_to_the_dataset(data, where, write_category):
    write_category(data / "outer" / "rods" / "long", 2, 1, 1)
    assert f"rods, 1 categories: {data / 'outer' / 'rods'}" in where(data / "outer")
