"""``python -m bench ensemble`` on runs with known scores."""

import sys
from pathlib import Path

import numpy as np
import pytest

from bench.__main__ import main
from bench.ensemble import saved

sys.path.insert(0, str(Path(__file__).parent.parent / "ensemble"))
from kept_runs import keep_run

DEFECTIVE = np.arange(120) % 5 < 2
MODELS = ["padim_resnet18", "dfm_resnet18", "stfpm_resnet18"]


@pytest.fixture
def records(tmp_path):
    for seed, model in enumerate(MODELS):
        keep_run(tmp_path, model, 1.3, defective=DEFECTIVE, seed=seed)
    return tmp_path / "runs" / "records.jsonl"


@pytest.fixture
def ensemble(records, capsys):
    def run(*arguments):
        code = main(["ensemble", *arguments, "--records", str(records)])
        return code, *capsys.readouterr()

    return run


def test_the_report_names_members_gains_and_a_conclusion(ensemble, tmp_path):
    code, out, err = ensemble("--top", "3")
    assert (code, err) == (0, "")
    assert "## surface.woven (profile smoke)" in out
    assert all(model in out for model in MODELS)
    assert "gain shown" in out
    assert "24 normal and" not in out  # 72 normal images: 36 in each half
    assert "36 normal and 24 defective images to choose on" in out
    assert "Pixel AP" in out
    code, out_again, _ = ensemble("--top", "3", "--out", str(tmp_path / "E.md"))
    assert code == 0
    assert (tmp_path / "E.md").read_text() == out
    assert str(tmp_path / "E.md") in out_again


@pytest.mark.parametrize("maps", [True, False])
def test_the_command_that_uses_a_saved_ensemble_asks_for_maps_where_it_has_some(
    ensemble, tmp_path, monkeypatch, maps
):
    monkeypatch.setattr(saved, "save_ensemble", lambda choice, path: path)
    monkeypatch.setattr(saved, "has_maps", lambda path: maps)
    _, _, err = ensemble("--save", str(tmp_path / "two.pth"))
    assert err.endswith("two.pth FOLDER --maps maps\n" if maps else "two.pth FOLDER\n")


def test_cases_are_selected_as_in_pytest(ensemble):
    _, out, _ = ensemble("-k", "not stfpm")
    assert "stfpm" not in out
    code, _, err = ensemble("-k", "padim and")
    assert code == 2
    assert "invalid" in err


def test_what_cannot_be_answered_says_what_is_missing(ensemble, tmp_path, capsys):
    code, _, err = ensemble("-k", "padim")
    assert code == 2
    assert "1 of at least two models" in err
    code, _, err = ensemble("-k", "elpv")
    assert code == 2
    assert "No finished anomaly runs" in err
    assert ensemble("--top", "1")[0] == 2
    assert main(["ensemble", "--records", str(tmp_path / "none.jsonl")]) == 2
    assert "No records at" in capsys.readouterr().err


def test_a_record_of_a_model_that_is_not_registered_is_selected_by_its_name(ensemble, tmp_path):
    keep_run(tmp_path, "my_model", 1.3, defective=DEFECTIVE, seed=9)
    code, out, _ = ensemble("-k", "my_model or padim")
    assert code == 0
    assert "my_model" in out
    assert "dfm" not in out


def test_groups_that_leave_all_defects_in_one_half_are_passed_over(ensemble, tmp_path):
    grouped = {"fingerprints": {"split_by": "0(?=[0-4])"}, "data": "mvtec.screw"}
    for seed, model in enumerate(MODELS):
        keep_run(tmp_path, model, 1.3, defective=np.arange(120) < 50, seed=seed, **grouped)
    code, out, err = ensemble("-k", "screw")
    assert code == 2
    assert out == ""
    assert "the groups of --split-by leave" in err


def test_an_image_set_too_small_to_halve_is_passed_over(ensemble, tmp_path):
    for seed, model in enumerate(MODELS):
        few = np.arange(10) < 3
        keep_run(tmp_path, model, 1.3, defective=few, seed=seed, data="mvtec.bottle")
    code, out, _ = ensemble()
    assert code == 0
    assert "mvtec.bottle (profile smoke): 7 normal and 3 defective" in out
