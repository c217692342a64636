"""The GPU session, shrunk: all steps write files, and all planned models are in the table."""

import json
import re
import sys
import time
from dataclasses import replace

import pytest
import torch

from bench.perf import gpu_session
from bench.perf.gpu_table import NOT_RUN, differences, session_table
from bench.record import Key, Record, from_json
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


def test_a_failure_without_a_message_is_named_by_its_type(monkeypatch, tmp_path, capsys):
    def fail(session):
        raise MemoryError

    monkeypatch.setitem(gpu_session.STEPS, "bound", fail)
    run(monkeypatch, tmp_path, "--models", "padim_resnet18", "--steps", "bound,metrics")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("failed with MemoryError: MemoryError")
    assert "pixel metrics" in lines[1]


def test_a_model_that_fails_leaves_the_later_ones_their_bare_step(monkeypatch, tmp_path):
    def rate(name, protocol, device):
        if name == "stfpm_resnet18":
            raise AssertionError
        return 5.0

    monkeypatch.setattr(gpu_session, "bare_rate", rate)
    said = gpu_session.run_bound(session(tmp_path, "stfpm_resnet18", "fre_resnet18"))
    assert said == "1 models, 1 without: stfpm_resnet18"
    assert json.loads((tmp_path / "bound.json").read_text()) == {
        "images_per_s": {"fre_resnet18": 5.0},
        "failures": {"stfpm_resnet18": "AssertionError"},
    }


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
    session = gpu_session.Session(tmp_path, "cpu", (), 8, 64, 4 / 60, None, None)
    code = "import time\ntry: time.sleep(60)\nfinally: print('2 failed')"
    said = gpu_session._child(session, "tests", [sys.executable, "-c", code])
    assert said.startswith("stopped after 4 s")
    assert (tmp_path / "tests.log").read_text().startswith("2 failed")


def session(out, *models, minutes=1.0, peer_python=None, against=None):
    return gpu_session.Session(out, "cpu", models, 8, 64, minutes, peer_python, against)


def record(out, model="stfpm_resnet18", *, category="grained", status="ok", **fields):
    """A record as the store reads it, of what the session would run."""
    case = replace(gpu_session._case(model), category=category)
    protocol = gpu_session._protocol(session(out), model).as_dict()
    protocol |= {"images_seen": 8, "precision": "float32"} | fields.pop("protocol", {})
    metrics = {"score": {"image_auroc": 0.75, "pixel_auroc": 0.5}}
    written = Record(
        key=Key(case.id, protocol["profile"], "recipe", fields.pop("data", "images"), "random"),
        case=case,
        status=status,
        outcome="ok" if status == "ok" else "crash",
        protocol={name: value for name, value in protocol.items() if value != "absent"},
        **{"metrics": metrics if status == "ok" else {}} | fields,
    )
    return from_json(written.to_json())


def table(models, records, others=None):
    cases = [gpu_session._case(name) for name in models]
    return session_table(cases, records, others, {"stfpm_resnet18": 50.0}, "cpu")


def rows(text):
    head, _, *lines = (line for line in text.splitlines() if line.startswith("|"))
    split = [[cell.strip() for cell in line.strip("|").split("|")] for line in (head, *lines)]
    return [dict(zip(split[0], cells, strict=True)) for cells in split[1:]]


def test_every_planned_model_has_a_row(tmp_path):
    measured = {"train_images_per_s_cached": 40.0}
    records = [
        record(tmp_path, "padim_resnet18", status="failed"),
        record(tmp_path, status="failed", finished="2026-11-27T10:00:00"),
        record(tmp_path, measurements=measured, finished="2026-11-28T10:00:00"),
    ]
    found = rows(table(["fre_resnet18", "stfpm_resnet18", "padim_resnet18"], records))
    assert [(row["Model"], row["Outcome"]) for row in found] == [
        ("fre_resnet18", NOT_RUN),
        ("stfpm_resnet18", "ok"),
        ("padim_resnet18", "crash"),
    ]
    assert found[1]["of the bare step"] == "0.8"
    assert (found[1]["Image AUROC"], found[1]["Pixel AUROC"]) == ("0.75", "0.5")
    assert "Image AUROC there" not in found[1]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"category": "woven"}, "no finished run of the case"),
        ({"status": "failed"}, "no finished run of the case"),
        ({"data": "other images"}, "differs in data"),
        ({"protocol": {"profile": "smoke"}}, "differs in profile"),
        ({"protocol": {"image_size": 9, "images_seen": 9}}, "differs in image_size, images_seen"),
        ({"protocol": {"tiles": [2, 2]}}, "differs in tiles"),
        ({"protocol": {"recipe": {"optimizer": "sgd", "lr": 5.0}}}, "differs in .*lr.*"),
    ],
)
def test_runs_of_other_work_are_not_compared(tmp_path, changed, why):
    text = table(["stfpm_resnet18"], [record(tmp_path)], [record(tmp_path, **changed)])
    (row,) = rows(text)
    assert row["Image AUROC there"] == row["Pixel AUROC there"] == ""
    assert "for 0 of 1 finished models" in text
    assert re.search(rf"^\* 1 empty: .*{why}$", text, re.M)


def test_the_newest_run_of_the_same_work_is_compared(tmp_path):
    older = {"score": {"image_auroc": 0.125}}
    newer = {"score": {"image_auroc": 0.25, "pixel_auroc": 0.375}}
    others = [
        record(tmp_path, metrics=newer, finished="2026-11-27T11:00:00"),
        record(tmp_path, metrics=older, finished="2026-11-27T10:00:00"),
        record(tmp_path, protocol={"images_seen": 64}, finished="2026-11-27T12:00:00"),
    ]
    text = table(["stfpm_resnet18", "fre_resnet18"], [record(tmp_path)], others)
    row = rows(text)[0]
    assert (row["Image AUROC there"], row["Pixel AUROC there"]) == ("0.25", "0.375")
    assert text.endswith("there: runs of the same work for 1 of 1 finished models")


def test_the_machines_precision_and_fields_added_later_are_no_other_work(tmp_path):
    recipe = record(tmp_path).protocol["recipe"]
    recipe = {k: v for k, v in recipe.items() if k != "min_delta"} | {"source": "elsewhere"}
    asked = {"precision": "bf16", "recipe": recipe, "tiles": "absent", "fit": "absent"}
    other = record(tmp_path, protocol=asked)
    assert differences(record(tmp_path), other) == differences(other, record(tmp_path)) == []
    text = table(["stfpm_resnet18"], [record(tmp_path)], [other])
    assert "for 1 of 1 finished models, 1 of them in another training precision" in text


def test_records_that_do_not_exist_are_named(tmp_path):
    plan = session(tmp_path, "stfpm_resnet18", against=tmp_path / "nowhere.jsonl")
    assert gpu_session._table(plan).endswith("nowhere.jsonl does not exist.")
    assert rows(gpu_session._table(plan))[0]["Outcome"] == NOT_RUN


def test_the_peer_runs_model_by_model_and_names_those_without_time(monkeypatch, tmp_path):
    """One model is timed, one fails, one takes the rest of the time; the last two get none."""
    named = []

    def run_one(command, log, limit_s):
        (name,) = set(command) & gpu_session.PEER_MODELS.keys()
        named.append(name)
        if name == "dfm_resnet18":
            time.sleep(limit_s)
        return {"padim_resnet18": 0, "fre_resnet18": 1, "dfm_resnet18": None}[name]

    monkeypatch.setattr(gpu_session, "_run_logged", run_one)
    monkeypatch.setitem(gpu_session.MINUTES, "peer", 1.0)
    models = ["padim_resnet18", "fastflow_deit", "fre_resnet18", "dfm_resnet18"]
    models += ["cfa_resnet18", "stfpm_resnet18"]
    said = gpu_session.run_peer(session(tmp_path, *models, minutes=1 / 60, peer_python="python"))
    assert said == (
        "timed: padim_resnet18; failed: fre_resnet18; stopped: dfm_resnet18; "
        "not reached: cfa_resnet18, stfpm_resnet18; see peer.log"
    )
    assert named == ["padim_resnet18", "fre_resnet18", "dfm_resnet18"]


def test_a_log_keeps_the_output_of_earlier_processes(tmp_path):
    log = tmp_path / "peer.log"
    for text, code in (("first", 0), ("second", 3)):
        command = [sys.executable, "-c", f"print({text!r}); raise SystemExit({code})"]
        assert gpu_session._run_logged(command, log, 60) == code
    assert log.read_text().split() == ["first", "second"]
