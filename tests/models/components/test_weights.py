import hashlib
import os
import pickle
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from models.components import weights
from models.components.weights import (
    ResolvedWeights,
    WeightsMissingError,
    file_sha256,
    load_state,
    resolve,
)

TAG = "resnet18.tv_in1k"
STATE = {"conv1.weight": torch.arange(4.0).view(1, 1, 2, 2), "bn1.bias": torch.ones(2)}


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """An empty torch hub cache, and a process that remembers no failure."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv(weights.FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(weights, "_failures", {})
    return tmp_path / "torch/hub/checkpoints"


def write(path, content=b"weights"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_first_folder_wins_then_the_variable_then_the_cache(tmp_path, hub, monkeypatch):
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path / "named"))
    folders = [tmp_path / "first", tmp_path / "second"]
    places = [
        write(tmp_path / "first/resnet18.tv_in1k.safetensors", b"1"),
        write(tmp_path / "first/resnet18.pth", b"2"),
        write(tmp_path / "second/resnet18-f37072fd.bin", b"3"),
        write(tmp_path / "named/resnet18.pt", b"4"),
        write(hub / "resnet18-f37072fd.pth", b"5"),
    ]
    for place in places:
        found = resolve(TAG, folders)
        assert found == ResolvedWeights(place, hashlib.sha256(place.read_bytes()).hexdigest())
        place.unlink()
    with pytest.raises(WeightsMissingError):
        resolve(TAG, folders)


def test_another_architectures_file_is_not_taken(tmp_path):
    write(tmp_path / "resnet50.pth")
    write(tmp_path / "resnet18.txt")
    with pytest.raises(WeightsMissingError):
        resolve(TAG, [tmp_path])


def test_missing_weights_say_what_where_and_how(tmp_path, hub):
    with pytest.raises(WeightsMissingError) as missing:
        resolve(TAG, [tmp_path, tmp_path / "absent"])
    text = str(missing.value)
    for part in (
        "resnet18.tv_in1k",
        "resnet18-f37072fd",
        ".safetensors",
        str(tmp_path),
        f"{tmp_path / 'absent'} (no such folder)",
        str(hub),
        "https://download.pytorch.org/models/resnet18-f37072fd.pth",
        "--weights-dir",
        "Downloading was switched off.",
    ):
        assert part in text
    assert "\n" not in text


def test_unknown_tag_is_a_clear_error():
    with pytest.raises(ValueError, match=r"Unknown weights 'resnet18'.*resnet18\.tv_in1k"):
        resolve("resnet18")


def test_download_lands_in_the_cache_and_happens_once(hub):
    calls = []

    def download(*arguments):
        calls.append(arguments)
        write(arguments[1])

    found = resolve(TAG, download=download)
    place = hub / "resnet18-f37072fd.pth"
    assert found == ResolvedWeights(place, hashlib.sha256(b"weights").hexdigest())
    assert resolve(TAG, download=download) == found
    assert calls == [(weights.WEIGHTS[TAG].url, place, "f37072fd")]


def test_failed_download_is_the_reason_and_not_tried_again():
    calls = []

    def download(*arguments):
        calls.append(arguments)
        raise OSError("The cable is cut.")

    for _ in range(2):
        with pytest.raises(
            WeightsMissingError, match=r"none of them\. The cable is cut\. Fetch https"
        ):
            resolve(TAG, download=download)
    assert len(calls) == 1


def test_sha256_follows_the_file(tmp_path):
    path = write(tmp_path / "resnet18.pth", b"one")
    assert file_sha256(path) == hashlib.sha256(b"one").hexdigest()
    write(path, b"three")
    assert file_sha256(path) == hashlib.sha256(b"three").hexdigest()


def loaded(path):
    return load_state(ResolvedWeights(path, "unused"))


def assert_state(found):
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in STATE.items())


@pytest.mark.parametrize("wrap", [None, "state_dict", "model"])
def test_torch_files_load_and_are_unwrapped(tmp_path, wrap):
    torch.save({wrap: STATE, "epoch": 3} if wrap else STATE, tmp_path / "resnet18.pth")
    assert_state(loaded(tmp_path / "resnet18.pth"))


def test_safetensors_load(tmp_path):
    save_file(STATE, tmp_path / "resnet18.safetensors")
    assert_state(loaded(tmp_path / "resnet18.safetensors"))


class Payload:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("keep", [0, 10, 400])
def test_damaged_file_is_a_clear_error(tmp_path, suffix, keep):
    whole = tmp_path / "whole"
    save_file(STATE, whole) if suffix == ".safetensors" else torch.save(STATE, whole)
    content = whole.read_bytes()
    assert len(content) > keep or suffix == ".safetensors"
    path = write(tmp_path / f"resnet18{suffix}", content[: min(keep, len(content) - 5)])
    with pytest.raises(ValueError, match=r"cannot be loaded.*get it again"):
        loaded(path)


def test_code_in_a_file_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"conv1.weight": Payload()}, tmp_path / "resnet18.pth")
    write(tmp_path / "resnet18.pt", pickle.dumps(Payload(), protocol=2))
    for name in ("resnet18.pth", "resnet18.pt"):
        with pytest.raises(ValueError, match="code, which is never run"):
            loaded(tmp_path / name)
    assert not (tmp_path / "pwned").exists()


def test_file_without_tensors_is_a_clear_error(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "resnet18.pth")
    with pytest.raises(ValueError, match=r"holds no tensors by name.*keys epoch"):
        loaded(tmp_path / "resnet18.pth")


def test_looking_for_weights_imports_no_torch():
    script = (
        "import sys, models.components.weights as w\n"
        "try: w.resolve('resnet18.tv_in1k')\n"
        "except w.WeightsMissingError: print({'torch', 'timm'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout == "set()\n", result.stderr
