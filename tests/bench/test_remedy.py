"""How to get something that is missing, as a command that a shell reads as intended."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from case_names import case_named

from bench.remedy import dataset_remedy, remedy
from bench.run.inputs import Finder
from bench.run.job import CaseSkipped
from bench.settings import Settings
from models.catalog import WEIGHTS


def finder(folder, datasets=None):
    return Finder(Settings("smoke", "cpu", (folder,), (folder,), folder, folder), datasets or {})


def test_folders_in_commands_are_quoted():
    folder = Path("/my data/$HOME's")
    command = remedy("dataset mvtec.bottle", [], [folder]).partition("  (")[0]
    assert shlex.split(command)[-2:] == ["--data-dir", str(folder)]
    words = shlex.split(remedy("weights resnet18.tv_in1k", [folder], []))
    assert words[-1] == WEIGHTS["resnet18.tv_in1k"].url
    assert words[words.index("-o") + 1] == str(folder / "resnet18.tv_in1k.pth")


def test_weights_of_parts_are_fetched_part_by_part():
    parts = WEIGHTS["mcait.fb_dist_in1k"].parts
    words = shlex.split(remedy("weights mcait.fb_dist_in1k", [Path("/w")], []))
    assert [word for word in words if word.startswith("https")] == [
        WEIGHTS[part].url for part in parts
    ]
    assert {f"/w/{part}.pth" for part in parts} < set(words)


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize("name", [b"a b", b"\xff\n'\\\x1b[31m", "\u00fc \u2192 \u754c".encode()])
def test_a_shell_reads_any_folder_name(name):
    folder = Path(os.fsdecode(b"/d/" + name))
    command = remedy("dataset mvtec", [], [folder]).partition("  (")[0]
    assert command.isprintable()
    word = command.partition("--data-dir ")[2]
    done = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert done.stdout == b"/d/" + name


def test_a_set_without_an_address_is_never_said_to_be_fetched():
    said = dataset_remedy("mpdd")
    assert said.startswith("python -m bench data prepare MPDD.zip --as mpdd  (files by hand from")
    assert "data get" not in said
    assert "pip install elpv-dataset  (CC BY-NC-SA 4.0; " in dataset_remedy("elpv")
    assert dataset_remedy("mvtec").startswith("python -m bench data get mvtec  (CC BY-NC-SA 4.0; ")


def test_a_session_says_the_same(tmp_path):
    for data, said in (("mpdd.tubes", "prepare MPDD.zip"), ("mvtec.zipper", "data get mvtec  (")):
        with pytest.raises(CaseSkipped) as skipped:
            finder(tmp_path).job(case_named(f"rd_resnet18-{data}-default-scratch-s0"))
        assert dataset_remedy(data.partition(".")[0]) in str(skipped.value)
        assert said in str(skipped.value)
        assert f"put it at DIR/{data.partition('.')[0]}/" in str(skipped.value)


def test_a_set_whose_table_lists_all_categories_goes_into_one_folder(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "elpv_dataset", None)  # hidden, even if installed
    with pytest.raises(CaseSkipped, match="put it at DIR/elpv and name DIR"):
        finder(tmp_path).job(case_named("rd_resnet18-elpv.mono-default-scratch-s0"))


@pytest.mark.parametrize(
    "case", ["rd_resnet18-bars.short-default-scratch-s0", "resnet18-flowers-none-scratch-s0"]
)
def test_a_custom_set_is_to_be_restored(tmp_path, case):
    with pytest.raises(CaseSkipped, match="is your own dataset"):
        finder(tmp_path).job(case_named(case))


def test_a_category_of_a_custom_set_is_to_be_restored():
    assert "bars is your own dataset" in remedy("dataset bars.short", [], [])
