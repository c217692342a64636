"""Files that training cannot resume from are named, and a changed case starts over."""

from dataclasses import replace

import pytest
import torch
from case_names import case_named

from bench.run.case import run_case
from bench.run.device_data import DeviceData
from bench.run.inputs import Finder
from bench.run.training.resume import ResumeError, check_optimizer, resumable
from bench.settings import Settings
from datasets_lib.discover import find_datasets
from models.catalog import Recipe

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"<!DOCTYPE html><html>Not found</html>", "a web page"),
        (b"\n<html><head>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", "a Git LFS"),
        (b"/annex/objects/SHA256E-s9--ab.pth\n", "a git-annex pointer"),
        (b"", "an empty file"),
        (b'{"error": "forbidden"}', "text that begins with"),
        (b"\x1f\x8b\x08rest", "a gzip archive"),
        (b"PK\x03\x04 not really", "a file that cannot be read as one"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "a file that cannot be read as one"),
    ],
)
def test_other_files_are_named(tmp_path, content, kind):
    file = tmp_path / "state.pth"
    file.write_bytes(content)
    with pytest.raises(ResumeError, match=f"state.pth: wanted a training state.* found {kind}"):
        resumable(file, CPU)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ResumeError, match=r"absent\.pth.*FileNotFoundError"):
        resumable(tmp_path / "absent.pth", CPU)


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_in_either_format_of_torch_are_read(tmp_path, zipped):
    file = tmp_path / "state.pth"
    torch.save({"weight": torch.ones(2)}, file, _use_new_zipfile_serialization=zipped)
    assert torch.equal(resumable(file, CPU)["weight"], torch.ones(2))


def test_a_state_that_does_not_name_its_optimizer_is_refused(tmp_path):
    with pytest.raises(ResumeError, match=r"state\.pth: wanted .* sgd, found .* unnamed"):
        check_optimizer(tmp_path / "state.pth", {}, Recipe("sgd", "test"))


@pytest.fixture
def job(tmp_path, write_category):
    write_category(tmp_path / "data" / "tiny" / "tile")

    def make(case="autoencoder-tiny.tile-default-scratch-s0", device="cpu", **options):
        folders = (tmp_path / "data",), (), tmp_path / "results", tmp_path / "cache"
        usual = {"images_seen": 32, "measurements": False, "plots": False}
        settings = Settings("smoke", device, *folders, **usual | options)
        return Finder(settings, find_datasets(settings.data_dirs)).job(case_named(case))

    return make


@pytest.mark.parametrize(
    ("case", "size"),
    [
        ("autoencoder-tiny.tile-default-scratch-s0", 64),
        ("resnet18-digits-default-scratch-s0", None),
    ],
)
def test_a_kept_state_is_not_passed_off_as_a_training_of_changed_code(job, case, size):
    def resumed_at(job):
        record = run_case(job, lambda *_: None, DeviceData())
        assert record.status == "ok", record.error
        return record.fingerprints["resumed_at"]

    first = job(case, image_size=size, keep_state=True)
    changed = replace(first, code=replace(first.code, hash="changed"))
    assert resumed_at(first) == 0
    assert resumed_at(first) > 0
    assert resumed_at(changed) == 0
    assert resumed_at(changed) > 0


def test_the_origin_of_a_checkpoint_is_its_code_and_kind_of_device(job):
    first, second = job(device="cuda:0"), job(device="cuda:1")
    assert first.origin == second.origin
    assert first.origin != job(device="cpu").origin
    assert first.origin != replace(first, code=replace(first.code, hash="changed")).origin
