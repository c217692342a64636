"""Tuning ranks candidates by their finished runs, and failed runs are named."""

from types import SimpleNamespace

import pytest
from fake_records import make

from bench import tune
from bench.__main__ import main
from bench.store import StoreError
from datasets_lib.surface import CATEGORIES
from models.catalog import MODELS


def runs(*aurocs):
    """Records of the textures; None is a failed run."""
    return [
        make("padim_resnet18", f"surface.{name}", auroc=auroc, status="ok" if auroc else "failed")
        for name, auroc in zip(CATEGORIES, aurocs, strict=True)
    ]


@pytest.fixture
def recipes():
    return tune.candidates(MODELS["rd_resnet18"].recipes["same"])[:3]


def test_failed_runs_are_named_and_left_out_of_the_mean(recipes):
    rows = [runs(0.9, 0.8, 0.7, 0.6), runs(0.9, None, 0.8, 0.7), runs(*4 * [None])]
    lines = tune.table(list(zip(recipes, rows, strict=True))).splitlines()[2:]
    assert [line.split()[2:] for line in lines] == [
        ["90.00", "80.00", "70.00", "60.00", "75.00"],
        ["90.00", "crash", "80.00", "70.00", "80.00"],
        ["crash", "crash", "crash", "crash", "–"],
    ]


def test_an_auroc_of_zero_is_no_missing_one():
    zero, missing = (make("padim_resnet18", metrics={"image_auroc": own}) for own in (0.0, None))
    assert tune._auroc([zero]) == 0
    assert tune._auroc([missing]) == 50


def test_candidates_with_failed_runs_come_last(recipes, tmp_path, monkeypatch, capsys):
    rows = [runs(0.9, None, 0.9, 0.9), runs(*4 * [0.6]), runs(*4 * [0.7])]
    jobs = [
        (recipe, SimpleNamespace(case=record.case, record=record))
        for recipe, records in zip(recipes, rows, strict=True)
        for record in records
    ]
    monkeypatch.setattr(tune, "_jobs", lambda *_: jobs)
    known = SimpleNamespace(look_up=lambda job: (job.record, None))
    monkeypatch.setattr(tune, "Finished", lambda _: known)
    ranked = tune.tune("rd_resnet18", SimpleNamespace(runs_dir=tmp_path))
    assert [recipe for recipe, _ in ranked] == [recipes[2], recipes[1], recipes[0]]
    assert capsys.readouterr().out.splitlines()[1].endswith(": crash: it broke")


def test_a_folder_that_cannot_be_written_is_named_before_a_run(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(tune, "tune", lambda *_: pytest.fail("a candidate ran"))
    for out, cache, said in (("file/out", "cache", "--out "), ("out", "file/cache", "$PROVING_")):
        monkeypatch.setenv("PROVING_GROUND_CACHE", str(tmp_path / cache))
        assert main(["tune", "rd_resnet18", "--out", str(tmp_path / out)]) == 2
        err = capsys.readouterr().err
        assert err.startswith(said)
        assert "file is not a folder" in err


def test_a_record_that_cannot_be_stored_names_the_folders_option(monkeypatch, capsys):
    def fail(*_):
        raise StoreError("Choose another place with --results-dir.")

    monkeypatch.setattr(tune, "tune", fail)
    assert main(["tune", "rd_resnet18"]) == 2
    assert capsys.readouterr().err == "Choose another place with --out.\n"


@pytest.mark.parametrize(("auroc", "code"), [(0.9, 0), (None, 1)])
def test_a_failed_run_is_an_exit_code(recipes, monkeypatch, capsys, auroc, code):
    ranked = [(recipes[0], runs(0.9, 0.9, 0.9, auroc))]
    monkeypatch.setattr(tune, "tune", lambda *_: ranked)
    assert main(["tune", "rd_resnet18"]) == code
    assert ("crash" in capsys.readouterr().out) == bool(code)
