"""The GPU session, shrunk: every step writes its file, and a failing one stops no other."""

import json
import sys

import pytest
import torch

from bench.perf import gpu_session
from bench.store import read_records


def run(monkeypatch, out, *options):
    arguments = ["gpu_session", "--out", str(out), "--device", "cpu", "--shrunk", *options]
    monkeypatch.setattr(sys, "argv", arguments)
    gpu_session.main()


@pytest.mark.slow
def test_every_step_leaves_its_results(monkeypatch, tmp_path, capsys):
    run(monkeypatch, tmp_path, "--models", "stfpm_resnet18", "--steps", "zoo,bound,metrics,peer")
    (record,) = read_records([tmp_path / "results" / "runs" / "records.jsonl"])
    assert record.outcome == "ok"
    bound = json.loads((tmp_path / "bound.json").read_text())["images_per_s"]
    assert bound["stfpm_resnet18"] > 0
    assert json.loads((tmp_path / "metrics.json").read_text())["metrics"]["pixel_auroc"] > 0.5
    assert json.loads((tmp_path / "environment.json").read_text())["device"] == "cpu"
    summary = (tmp_path / "summary.txt").read_text()
    assert "peer" in summary
    assert "skipped" in summary
    assert "| stfpm_resnet18" in capsys.readouterr().out


def test_a_failing_step_is_named_and_the_next_one_runs(monkeypatch, tmp_path, capsys):
    def fail(session):
        raise RuntimeError("no such device")

    monkeypatch.setitem(gpu_session.STEPS, "bound", fail)
    run(monkeypatch, tmp_path, "--models", "padim_resnet18", "--steps", "bound,metrics")
    lines = capsys.readouterr().out.splitlines()
    assert "RuntimeError: no such device" in lines[0]
    assert "pixel metrics" in lines[1]


def test_unknown_steps_and_models_are_usage_errors(monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        run(monkeypatch, tmp_path, "--steps", "zoo,dance")
    assert exit_.value.code == 2
    assert "dance" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_it_says_so_in_one_paragraph(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["gpu_session", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match=r"sees 0 CUDA devices.*--device cpu"):
        gpu_session.main()
    assert not (tmp_path / "out").exists()


def test_a_step_that_takes_too_long_still_reports(monkeypatch, tmp_path):
    """It is interrupted, not killed, so that it names its failures and stops its children."""
    monkeypatch.setitem(gpu_session.MINUTES, "tests", 1.0)
    session = gpu_session.Session(tmp_path, "cpu", (), 8, 64, 1.5 / 60, None, None)
    code = "import time\ntry: time.sleep(60)\nfinally: print('2 failed')"
    said = gpu_session._child(session, "tests", [sys.executable, "-c", code])
    assert said.startswith("stopped after 2 s")
    assert (tmp_path / "tests.log").read_text().startswith("2 failed")
