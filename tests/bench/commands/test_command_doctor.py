"""``python -m bench doctor``: what it counts, compared with what a session would do."""

import json
import subprocess
import sys

import pytest

from bench.__main__ import main
from bench.commands import machine
from bench.environment import cuda_present
from bench.needs import look_for_weights, missing_of, offered_cases, weights_of
from bench.run.inputs import Finder
from bench.run.job import CaseSkipped
from bench.settings import Settings
from datasets_lib.discover import find_datasets


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def last_line(capsys):
    return capsys.readouterr().out.splitlines()[-1]


def test_doctor_counts_what_a_session_would_run(tmp_path, write_category, capsys):
    write_category(tmp_path / "data" / "bars" / "short", 3, 2, 2)
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "resnet18.pth").write_bytes(b"any")
    places = ["--data-dir", str(tmp_path / "data"), "--weights-dir", str(tmp_path / "w")]
    assert main(["doctor", *places]) == 0
    found = find_datasets([tmp_path / "data"])
    dirs, cache = ((tmp_path / "data"),), tmp_path / "cache"
    settings = Settings("smoke", "cpu", dirs, (tmp_path / "w",), tmp_path, cache)
    offered = offered_cases("smoke", found)
    cases = [case for case in offered if case.dataset == "bars"]
    runnable = 0
    for case in cases:
        try:
            Finder(settings, found).job(case)
            runnable += 1
        except CaseSkipped:
            pass
    weights = look_for_weights(filter(None, map(weights_of, cases)), [tmp_path / "w"])
    assert runnable == sum(not missing_of(case, found, weights) for case in cases)
    assert 0 < runnable < len(cases)
    said = capsys.readouterr().out
    assert f"{tmp_path / 'w' / 'resnet18.pth'} (sha256 " in said
    assert "they differ" in said


def test_a_publishers_file_with_other_content_is_a_problem(tmp_path, capsys):
    (tmp_path / "resnet18-f37072fd.pth").write_bytes(b"any")
    assert main(["doctor", "--weights-dir", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = (x for x in lines if x.startswith("weights   resnet18.tv_in1k: "))
    assert "PROBLEM" in line
    assert "missing" not in line
    assert f"{tmp_path}/resnet18-f37072fd.pth" in line


def test_doctor_names_remedies(tmp_path, capsys):
    assert main(["doctor", "--weights-dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    blocked = lines.index(next(line for line in lines if line.startswith("  dataset mvtec:")))
    assert "python -m bench data" in lines[blocked + 1]
    assert f"-o {tmp_path}/resnet18.tv_in1k.pth https://download.pytorch.org/" in out
    assert "PROVING_GROUND_OFFLINE forbids the network" in out
    assert lines[-1].endswith("cases can run (profile smoke)")


def test_doctor_remedy_works(tmp_path, capsys):
    assert main(["doctor", "--weights-dir", str(tmp_path)]) == 0
    before = int(last_line(capsys).split()[0].replace(",", ""))
    (tmp_path / "resnet18.tv_in1k.pth").write_bytes(b"any")
    assert main(["doctor", "--weights-dir", str(tmp_path)]) == 0
    assert int(last_line(capsys).split()[0].replace(",", "")) > before


def test_doctor_imports_no_torch(root):
    code = (
        "import sys; from bench.__main__ import main; main(['doctor']); "
        "print({'torch', 'numpy.linalg', 'pandas', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "", "PYTHONPATH": str(root), "PROVING_GROUND_OFFLINE": "1", "HOME": "/"},
    )
    assert done.stdout.splitlines()[-1] == "set()"


def test_unwritable_folder_is_a_problem(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    assert main(["doctor", "--cache-dir", str(tmp_path / "file" / "below")]) == 0
    assert "PROBLEM: not writable, name another with --cache-dir" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("probe", "said"),
    [
        (
            "raise RuntimeError('driver too old')",
            "but using it failed: RuntimeError: driver too old",
        ),
        (
            "import sys; print('found 11040', file=sys.stderr); "
            'print(\'{"torch_cuda": "13.0", "available": false}\')',
            "but torch, built for CUDA 13.0, cannot use it (found 11040)",
        ),
        (
            'print(\'{"torch_cuda": null, "available": false}\')',
            "but torch, built without CUDA, cannot use it",
        ),
    ],
)
def test_unusable_driver_is_a_problem(monkeypatch, probe, said):
    monkeypatch.setattr(machine, "cuda_present", lambda: True)
    monkeypatch.setattr(machine, "_PROBE", probe)
    [line] = machine.device_lines()
    assert line.startswith("PROBLEM: ")
    assert said in line


def test_hanging_driver_is_a_problem(monkeypatch):
    monkeypatch.setattr(machine, "cuda_present", lambda: True)
    monkeypatch.setattr(machine, "_PROBE", "import time; time.sleep(60)")
    monkeypatch.setattr(machine, "_PROBE_SECONDS", 1)
    [line] = machine.device_lines()
    assert line.startswith("PROBLEM: ")
    assert "did not answer within 1 s" in line


def test_cuda_device_is_described(monkeypatch):
    found = {
        "torch_cuda": "13.0",
        "available": True,
        "gpu": "NVIDIA H100",
        "driver": "580.1",
        "cuda": "13.0",
        "bf16": True,
        "free": 70 * 2**30,
        "total": 80 * 2**30,
        "count": 1,
    }
    monkeypatch.setattr(machine, "cuda_present", lambda: True)
    monkeypatch.setattr(machine, "_PROBE", f"print({json.dumps(found)!r})")
    assert list(machine.device_lines()) == [
        "CUDA: 1 × NVIDIA H100, 70 of 80 GiB free, driver 580.1, CUDA 13.0, bf16 yes"
    ]


@pytest.mark.gpu
def test_probe_agrees_with_torch(monkeypatch, root):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("PYTHONPATH", str(root))  # the child starts elsewhere
    if not cuda_present():
        pytest.skip("needs a CUDA device")
    import torch

    [line] = machine.device_lines()
    assert torch.cuda.get_device_name() in line
    assert f"CUDA {torch.version.cuda}" in line
