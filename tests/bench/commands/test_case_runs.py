"""Saved models named by a case: the newest one, or what is wrong with the name."""

import re
from pathlib import Path

import pytest
from fake_records import make

from bench.commands.case_runs import model_file
from bench.commands.command import CommandError
from bench.commands.record_files import RECORDS
from bench.store import Store

CASE = "padim_resnet18-mvtec.bottle-default-pretrained-s0"


@pytest.fixture
def keep(tmp_path, monkeypatch):
    """Store a record in the current folder's results; return the path of its saved model."""
    monkeypatch.chdir(tmp_path)

    def write(model="padim_resnet18", finished="2026-01-01T00:00:00+00:00", saved=True, **fields):
        name = f"runs/{model}/{finished[:4]}/model.pth"
        path = Path("results", name)
        if saved:
            path.parent.mkdir(parents=True)
            path.touch()
        record = make(model, "mvtec.bottle", artifacts={"model": name}, **fields)
        record.finished = finished
        Store(Path("results", "runs")).append(record)
        return path

    return write


def refusal(name):
    with pytest.raises(CommandError) as raised:
        model_file(Path(name))
    return str(raised.value)


def test_a_case_or_a_part_of_its_id_stands_for_its_newest_saved_model(keep):
    keep(finished="2024-01-01T00:00:00+00:00")
    newest = keep(finished="2026-01-01T00:00:00+00:00")
    keep(finished="2025-01-01T00:00:00+00:00")
    keep("dfm_resnet18", finished="2027-01-01T00:00:00+00:00")
    keep(finished="2028-01-01T00:00:00+00:00", saved=False)
    assert model_file(Path(CASE)) == newest
    assert model_file(Path("padim_resnet18-mvtec")) == newest


def test_files_are_taken_as_they_are(keep, tmp_path):
    keep()
    Path("model").touch()
    for given in ("model", "absent.pth", "absent.onnx", "folder/padim", str(tmp_path / CASE)):
        assert model_file(Path(given)) == Path(given)


def test_names_that_stand_for_no_model_say_what_would(keep):
    assert re.search(f"no file padim and no records at {RECORDS}.*--save-models", refusal("padim"))
    keep(saved=False)
    said = refusal(CASE)
    assert f"saved model of {CASE}, found none" in said
    assert re.search(f"pytest bench -k {CASE} --profile smoke .*--rerun --save-models$", said)
    assert "Saved models" not in said
    keep(finished="2025-01-01T00:00:00+00:00")
    keep("dfm_resnet18")
    assert "found 2 with resnet18 in their id" in refusal("resnet18")


def test_only_cases_with_a_saved_model_are_suggested(keep):
    keep()
    for model in ("dfm_resnet18", "dfm_resnet50"):
        keep(model, saved=False)
    said = refusal("padim_resnet18-mvtce")
    assert f"Did you mean {CASE}?" in said
    assert said.endswith(f"Saved models: {CASE}.")
    assert "leaderboard" not in said
    for unsaved in ("dfm_resnet18", "dfm"):
        assert f"Saved models: {CASE}." in refusal(unsaved)
    assert "none of the 2 cases with dfm in their id" in refusal("dfm")
    assert refusal("zzz").endswith(f"neither called zzz. Saved models: {CASE}.")
