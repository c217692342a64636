"""Whole benchmark sessions, as a user starts them: real cases on a tiny dataset."""

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pytest
from full_disk import limit_file_size

CASE = "rd_resnet18-tiny.tile-default-scratch-s0"


@pytest.fixture
def session(tiny_options, run_session):
    """Run a tiny session in this process."""
    return lambda *more: run_session(*tiny_options, *more)


MEASURED = ("--measure-seconds", "60")
"""Enough for every figure, even while other tests run in parallel."""


def read_scores(store):
    with np.load(store.folder.parent / store.records()[-1].artifacts["scores"]) as file:
        return {name: file[name] for name in file.files}


def test_a_session_leaves_records_tables_pictures_and_benchmark_json(session, store, tmp_path):
    json_file = str(tmp_path / "b.json")
    result = session("-k", CASE[:-1], "--seeds", "2", "--benchmark-json", json_file, *MEASURED)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["*[[]1/2[]]*s0*ok*AUROC*", "*leaderboard*LEADERBOARD.md*", "page*index.html"]
    )
    first, second = store.records()
    assert (first.key.id, first.status, first.seed, second.seed) == (CASE, "ok", 111, 112)
    assert first.fingerprints["images"] == {"fit": 18, "calibration": 2, "test": 12}
    assert first.fingerprints["images_decoded"] == 32 + 6  # images and masks
    assert second.fingerprints["images_decoded"] == 0
    assert first.key.weights == "random"
    assert list(first.metrics) == ["multi_scale", "single_scale"]
    for name in ("image_auroc", "pixel_auroc", "f1", "f1_best"):
        assert 0 <= first.metrics["single_scale"][name] <= 1, name
    assert all(value > 0 for value in first.timings.values())
    for path in first.artifacts.values():
        assert (tmp_path / "results" / path).stat().st_size > 0, path
    assert CASE.split("-")[0] in (tmp_path / "results" / "LEADERBOARD.md").read_text()
    assert CASE in (tmp_path / "results" / "index.html").read_text()
    assert len(list((tmp_path / "results" / "cases").glob(f"{CASE[:-1]}*.html"))) == 2
    rows = json.loads((tmp_path / "b.json").read_text())["benchmarks"]
    assert [row["param"] for row in rows] == [CASE, CASE[:-1] + "1"]
    assert rows[0]["stats"]["median"] == pytest.approx(
        statistics.median(first.samples["inference_step"])
    )
    assert rows[0]["extra_info"]["metrics"] == first.metrics


@pytest.mark.slow
def test_finished_cases_are_not_run_again_unless_asked(session, store, tmp_path):
    quick = ("-k", CASE, "--no-pictures", *MEASURED)
    session(*quick).assert_outcomes(passed=1)
    session(*quick).stdout.fnmatch_lines(["*1 cached*"])
    assert len(store.records()) == 1
    where = (*quick, "--benchmark-storage", f"file://{tmp_path / 'benchmarks'}")
    session(*where, "--benchmark-save", "before")
    compared = session(*where, "--benchmark-compare")  # both from the record: nothing differs
    for column in ("NOW", "0001_before"):
        compared.stdout.fnmatch_lines([f"*{column}*(1.0)*(1.0)*(1.0)*"])
    scores = read_scores(store)
    quick += ("--no-measurements",)
    session(*quick, "--rerun").assert_outcomes(passed=1)
    assert len(store.records()) == 2
    rerun = read_scores(store)
    assert scores.keys() == rerun.keys()
    for name, values in scores.items():  # one seed gives bit-equal scores
        np.testing.assert_array_equal(values, rerun[name], err_msg=name)
    assert len(set(scores["scores.single_scale"].tolist())) == 12
    changed = session(*quick, "--images-seen", "8")
    changed.assert_outcomes(passed=1)  # another recipe is another run


@pytest.mark.slow
def test_a_finished_case_runs_again_when_what_made_it_changed(session, store, tmp_path):
    quick = ("-k", CASE, "--no-pictures")
    session(*quick, "--no-measurements").assert_outcomes(passed=1)
    (first,) = store.records()
    optional = dict.fromkeys(("measurements", "pictures", "models", "panels", "maps"), False)
    assert first.asked == {**optional, "exact": True}
    session(*quick, "--no-measurements").stdout.fnmatch_lines(["*1 cached*"])
    session(*quick).stdout.fnmatch_lines(["*runs again: it has no measurements*", "*ran again 1:*"])
    session(*quick, "--no-measurements").stdout.fnmatch_lines(["*1 cached*"])  # more is harmless
    measured = store.records()[-1]
    assert measured.code["hash"] == first.code["hash"]

    kept = store.folder / "code" / f"{first.code['hash']}.json"
    files = json.loads(kept.read_text())
    files["bench/run/predict.py"] = files["models/reverse_distillation/model.py"] = "0" * 16
    (store.folder / "code" / "before.json").write_text(json.dumps(files))
    measured.code |= {"hash": "before", "commit": "1234567890abcdef", "dirty": True}
    store.path.write_text(measured.to_json() + "\n")
    kept_as_it_is = session(*quick, "--keep-stale")
    kept_as_it_is.stdout.fnmatch_lines(["*cached from commit 1234567 with changes: bench/run/*"])
    again = session(*quick)
    changed = (
        "bench/run/predict.py, models/reverse_distillation/model.py changed since commit 1234567"
    )
    again.stdout.fnmatch_lines([f"*runs again: {changed}*", f"*ran again 1: {changed}*"])
    assert len(store.records()) == 2


@pytest.mark.slow
def test_a_saved_model_predicts_the_same_scores(session, store, tmp_path):
    from bench.predict.predictor import load_checkpoint

    quick = ("-k", CASE, "--no-measurements", "--no-pictures")
    session(*quick).assert_outcomes(passed=1)
    saved = session(*quick, "--save-models")
    saved.stdout.fnmatch_lines(["*runs again: it has no saved model*", "*checkpoint *model.pth"])
    path = tmp_path / "results" / store.records()[-1].artifacts["model"]
    again = session(*quick, "--save-models")
    again.stdout.fnmatch_lines(["*1 cached*", "*checkpoint *model.pth"])
    path.unlink()
    lost = session(*quick, "--save-models")
    lost.stdout.fnmatch_lines(["*runs again: its saved model is gone*", "*checkpoint *model.pth"])
    predictor = load_checkpoint(path)
    assert predictor.metadata.case == CASE
    files = sorted((tmp_path / "data" / "tiny" / "tile").glob("test/*/*.png"))
    with np.load(tmp_path / "results" / store.records()[-1].artifacts["scores"]) as file:
        names = [file_.relative_to(tmp_path / "data/tiny/tile").as_posix() for file_ in files]
        order = [names.index(name) for name in file["names"]]
        for batch in (32, 5):
            predictions = predictor.predict([files[row] for row in order], batch)
            assert sorted(predictions) == ["multi_scale", "single_scale"]
            for head, result in predictions.items():
                tolerance = 0 if batch == 32 else 1e-5
                np.testing.assert_allclose(
                    result.scores.numpy(), file[f"scores.{head}"], atol=tolerance, rtol=0
                )


@pytest.mark.slow
def test_a_broken_case_is_one_paragraph_and_the_rest_runs(session, store, tmp_path, write_category):
    for name in ("a_truncated", "b_mask_size", "c_empty"):
        write_category(tmp_path / "data" / "tiny" / name)
    image = tmp_path / "data/tiny/a_truncated/train/good/003.png"
    image.write_bytes(image.read_bytes()[:-200])
    from PIL import Image

    mask = tmp_path / "data/tiny/b_mask_size/ground_truth/spot/002_mask.png"
    Image.new("L", (20, 20)).save(mask)
    for file in (tmp_path / "data/tiny/c_empty/train/good").iterdir():
        file.unlink()
    result = session("-k", "rd_resnet18-tiny and scratch", "--no-measurements")
    result.assert_outcomes(passed=1, failed=3)
    outcomes = {record.key.id.split("-")[1]: record for record in store.records()}
    assert {data: record.outcome for data, record in outcomes.items()} == {
        "tiny.a_truncated": "data",
        "tiny.b_mask_size": "data",
        "tiny.c_empty": "data",
        "tiny.tile": "ok",
    }
    for data, part in {
        "tiny.a_truncated": "003.png",
        "tiny.b_mask_size": "002_mask.png",
        "tiny.c_empty": "good",
    }.items():
        message = outcomes[data].error["message"]
        assert part in message
        assert "Traceback" not in message
        assert len(message) < 700
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_missing_weight_is_a_skip_with_its_remedy(session, store, monkeypatch):
    monkeypatch.setenv("PROVING_GROUND_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", "/nonexistent")
    result = session("-k", CASE.replace("scratch", "pretrained"))
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*skipped 1:*resnet18.tv_in1k*--weights-dir*"])
    assert store.records() == []


def test_a_checkpoint_of_another_model_fails_its_case(session, store, tmp_path):
    import torch

    (tmp_path / "weights").mkdir()
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "weights" / "resnet18.pth")
    result = session(
        *("-k", CASE.replace("scratch", "pretrained")), "--weights-dir", str(tmp_path / "weights")
    )
    result.assert_outcomes(failed=1)
    (record,) = store.records()
    assert record.outcome == "weights"
    assert "conv1.weight" in record.error["message"]


def test_a_typo_is_answered_with_the_near_name(session):
    result = session("-k", "rd_resnt18")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no case matches 'rd_resnt18': did you mean rd_resnet18*"])


def test_collecting_lists_every_id_and_imports_no_torch(root):
    code = (
        "import sys, pytest\n"
        "code = pytest.main(['bench', '--collect-only', '-q', '-p', 'no:cacheprovider'])\n"
        "print('torch imported:', bool({'torch', 'timm', 'matplotlib'} & set(sys.modules)))\n"
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    wanted = "bench/test_cases.py::test_case[rd_convnext-mvtec.bottle-default-pretrained-s0]"
    assert wanted in lines
    assert "torch imported: False" in lines


@pytest.mark.slow
@pytest.mark.parametrize("isolation", ["--no-isolate", "--isolate"])
def test_a_session_killed_in_mid_case_resumes_where_it_was(
    tiny_options, store, tmp_path, root, isolation
):
    command = [sys.executable, "-m", "pytest", *tiny_options]
    command += ["--seeds", "2", "-k", CASE[:-1], isolation, "--no-measurements", "--no-pictures"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not store.records() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)  # the second case is under way
    process.kill()
    process.wait()
    assert [record.key.id for record in store.records()] == [CASE]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "1 cached" in done.stdout
    assert [record.key.id for record in store.records()] == [CASE, CASE[:-1] + "1"]


@pytest.mark.slow
@pytest.mark.parametrize("isolation", ["--no-isolate", "--isolate"])
def test_an_interrupted_session_keeps_its_training(tiny_options, store, tmp_path, root, isolation):
    options = [option if option != "16" else "20000" for option in tiny_options]
    command = [sys.executable, "-m", "pytest", *options, "-k", CASE, isolation]
    try:
        ours, its = os.openpty()  # only a terminal has a line for every step
    except OSError as error:
        pytest.skip(f"no pseudo-terminal: {error}")
    environment = {**os.environ, "PYTHONPATH": str(root), "TERM": "xterm"}
    process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=its)
    os.close(its)
    output, stopped = b"", False
    with suppress(OSError):  # reading fails once the session has closed its end
        while part := os.read(ours, 4096):
            output += part
            if not stopped and re.search(rb" train [5-9]\d*/", output):
                process.send_signal(signal.SIGINT)
                stopped = True
    os.close(ours)
    assert process.wait(timeout=60) == pytest.ExitCode.INTERRUPTED
    assert stopped
    assert [record.outcome for record in store.records()] == ["interrupted"]
    (checkpoint,) = store.folder.rglob("training.pth")
    import torch

    assert torch.load(checkpoint, weights_only=True)["steps"] >= 5


@pytest.mark.slow
def test_a_full_disk_fails_its_case_and_loses_nothing(tiny_options, store, tmp_path, root):
    command = [sys.executable, "-m", "pytest", *tiny_options, "-k", CASE]
    command += ["--no-measurements", "--no-pictures"]
    env = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*command, "--save-models"],
        preexec_fn=lambda: limit_file_size(4_000_000),
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "--results-dir" in done.stdout
    assert "Traceback" not in done.stdout
    (record,) = store.records()
    assert (record.status, record.outcome) == ("failed", "disk")
    assert record.metrics["single_scale"]["image_auroc"] is not None
    assert not list((tmp_path / "results").rglob("*.pth*"))
    subprocess.run(command, cwd=tmp_path, env=env, check=True, capture_output=True)
    assert [r.status for r in store.records()] == ["failed", "ok"]
