import argparse
import hashlib
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from zipfile import ZipFile

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
from models.components.weights_file import state_dict_in, without_prefix

TAG = "resnet18.tv_in1k"
DIGITS = hashlib.sha256(b"weights").hexdigest()[:8]
STATE = {"conv1.weight": torch.arange(4.0).view(1, 1, 2, 2), "bn1.bias": torch.ones(2)}


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """An empty torch hub cache, and a process that remembers no failure."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv(weights.FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(weights, "_failures", {})
    return tmp_path / "torch/hub/checkpoints"


@pytest.fixture
def published(monkeypatch):
    """A publisher whose file holds ``weights`` and carries the first digits of its sha256."""
    entry = replace(weights.WEIGHTS[TAG], url=f"https://x.y/resnet18-{DIGITS}.pth")
    monkeypatch.setattr(weights, "WEIGHTS", {TAG: entry})
    return f"resnet18-{DIGITS}.pth"


def write(path, content=b"weights"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_first_folder_wins_then_the_variable_then_the_cache(
    tmp_path, hub, monkeypatch, published
):
    monkeypatch.setenv(weights.FOLDER_VARIABLE, str(tmp_path / "named"))
    folders = [tmp_path / "first", tmp_path / "second"]
    places = [
        write(tmp_path / "first/resnet18.tv_in1k.safetensors", b"1"),
        write(tmp_path / "first/resnet18.pth", b"2"),
        write(tmp_path / "second/resnet18-f37072fd.bin", b"3"),
        write(tmp_path / "named/resnet18.pt", b"4"),
        write(hub / published),
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


def test_a_file_whose_name_has_another_sha256_is_refused(tmp_path, hub, published):
    write(hub / published, b"other")
    with pytest.raises(ValueError, match=rf"{TAG}'s.*{DIGITS}….*found .*Get it again"):
        resolve(TAG)
    assert resolve(TAG, [write(tmp_path / "w/resnet18.pth", b"other").parent]).path.is_file()


def test_download_lands_in_the_cache_and_happens_once(hub, published):
    calls = []

    def download(*arguments):
        calls.append(arguments)
        write(arguments[1])

    found = resolve(TAG, download=download)
    place = hub / published
    assert found == ResolvedWeights(place, hashlib.sha256(b"weights").hexdigest())
    assert resolve(TAG, download=download) == found
    assert calls == [(weights.WEIGHTS[TAG].url, place, DIGITS)]


def test_failed_download_is_the_reason_and_not_tried_again():
    calls = []

    def download(*arguments):
        calls.append(arguments)
        raise OSError("The cable is cut.")

    for _ in range(2):
        with pytest.raises(
            WeightsMissingError,
            match=r"them\. The cable is cut\. Fetch https\S+ on .* and put",
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


@pytest.mark.parametrize(
    "wrap",
    [
        *("", "state_dict", "model", "state_dict_ema", "model_state_dict", "net", "teacher"),
        *("my_own_name", "checkpoint.model", "a.b.state_dict"),
    ],
)
def test_torch_files_load_and_are_unwrapped(tmp_path, wrap):
    content = STATE
    for name in reversed(wrap.split(".") if wrap else []):
        content = {"epoch": 3, name: content, "step": torch.tensor(7)}
    torch.save(content, tmp_path / "resnet18.pth")
    assert_state(loaded(tmp_path / "resnet18.pth"))


def test_averaged_weights_are_preferred_and_an_optimizers_state_is_none(tmp_path):
    other = {name: tensor + 1 for name, tensor in STATE.items()}
    content = {
        "optimizer": {"state": {0: {"exp_avg": torch.ones(9)}}, "param_groups": []},
        "model": other,
        "model_ema": STATE,
        "args": argparse.Namespace(lr=0.1),
    }
    torch.save(content, tmp_path / "resnet18.pth")
    assert_state(loaded(tmp_path / "resnet18.pth"))


@pytest.mark.parametrize(
    "more",
    [
        {"stats": {"ema": {"loss": torch.tensor(1.0), "accuracy": torch.tensor(0.5)}}},
        {"student": {"ema": {name: tensor + 1 for name, tensor in STATE.items()}}},
    ],
)
def test_averages_of_something_else_do_not_hide_the_model(tmp_path, more):
    torch.save({"model": STATE, **more}, tmp_path / "resnet18.pth")
    assert_state(loaded(tmp_path / "resnet18.pth"))


def test_two_state_dicts_of_unknown_names_are_named(tmp_path):
    torch.save({"generator": STATE, "critic": STATE}, tmp_path / "resnet18.pth")
    with pytest.raises(ValueError, match="several of them, generator, critic"):
        loaded(tmp_path / "resnet18.pth")


@pytest.mark.parametrize(
    "prefix", ["", "module.", "backbone.", "_orig_mod.", "model.module.", "x."]
)
def test_a_wrappers_prefix_is_found_from_the_names_a_network_knows(prefix):
    state = {f"{prefix}{name}": tensor for name, tensor in STATE.items()}
    state["head.fc.weight"] = torch.ones(1)
    found = without_prefix(state, lambda tensors: len(STATE.keys() & tensors.keys()))
    assert_state(found if prefix else {name: found[name] for name in STATE})


TEACHER_AND_STUDENT = [
    ("teacher", "student"),
    ("module.teacher", "module.student"),
    ("teacher.module", "student.module"),
    ("teacher.module", "student"),
    ("wrapper.teacher", "student"),
    ("module.ema", "module.model"),
]


@pytest.mark.parametrize(("teacher", "student"), TEACHER_AND_STUDENT)
@pytest.mark.parametrize("turned", [False, True])
def test_a_teachers_prefix_comes_before_its_students(teacher, student, turned):
    state = {
        f"{who}.{n}": t + (who == student)
        for who in ((teacher, student)[:: -1 if turned else 1])
        for n, t in STATE.items()
    }
    assert_state(without_prefix(state, lambda tensors: len(STATE.keys() & tensors.keys())))


@pytest.mark.parametrize(("teacher", "student"), TEACHER_AND_STUDENT)
@pytest.mark.parametrize("turned", [False, True])
def test_a_nested_teacher_comes_before_its_student(teacher, student, turned):
    content = {}
    for who in (teacher, student)[:: -1 if turned else 1]:
        *outer, last = who.split(".")
        nest = content
        for name in outer:
            nest = nest.setdefault(name, {})
        nest[last] = {name: tensor + (who == student) for name, tensor in STATE.items()}
    assert_state(state_dict_in(content))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"<!DOCTYPE html><html>Not found</html>", "web page"),
        (b"\n<html><head>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", "Git LFS"),
        (b"/annex/objects/SHA256E-s9--ab.pth\n", "git-annex"),
        (b"", "empty file"),
        (b'{"error": "forbidden"}', "text that begins with"),
        (b"\x1f\x8b\x08rest", "gzip"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_is_no_weights_file_is_named(tmp_path, content, kind, suffix):
    with pytest.raises(ValueError, match=kind) as error:
        loaded(write(tmp_path / f"resnet18{suffix}", content))
    assert "weights_only" not in str(error.value)


@pytest.mark.parametrize(("suffix", "save"), [(".pth", save_file), (".safetensors", torch.save)])
def test_the_content_decides_the_format_and_not_the_suffix(tmp_path, suffix, save):
    save(STATE, tmp_path / f"resnet18{suffix}")
    assert_state(loaded(tmp_path / f"resnet18{suffix}"))


def test_a_pickled_model_is_named_without_advice_to_run_it(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "resnet18.pth")
    with pytest.raises(ValueError, match=r"Linear.*state_dict") as error:
        loaded(tmp_path / "resnet18.pth")
    assert "weights_only" not in str(error.value)


def test_safetensors_load(tmp_path):
    save_file(STATE, tmp_path / "resnet18.safetensors")
    assert_state(loaded(tmp_path / "resnet18.safetensors"))


def test_the_only_file_in_an_archive_loads(tmp_path):
    torch.save(STATE, tmp_path / "inner.pckl")
    path = tmp_path / "dsr_vqvae.zip"
    with ZipFile(path, "w") as archive:
        archive.mkdir("folder")
        archive.write(tmp_path / "inner.pckl", "folder/inner.pckl")
    assert resolve("dsr_vqvae.pretrained", [tmp_path]).path == path
    assert_state(loaded(path))
    with ZipFile(path, "a") as archive:
        archive.writestr("folder/other.pckl", b"")
    with pytest.raises(ValueError, match="cannot be loaded"):
        loaded(path)


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
