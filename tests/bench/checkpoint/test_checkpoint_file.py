"""Files that are not, or no longer, checkpoints: a named error, and nothing in them runs."""

import hashlib
import io
import json
import os
import pickle
import random
import re
import zipfile
from dataclasses import replace

import pytest
import torch
from saved_models import describe, save
from torch import nn

from bench.checkpoint import file as checkpoint_file
from bench.checkpoint.file import read_checkpoint, write_checkpoint
from bench.checkpoint.metadata import VERSION, Calibration, CheckpointError, Metadata, Preprocessing
from models.components.base import AnomalyModel

MUTATIONS = 60


class Small(AnomalyModel):
    """A model of two tensors and a frozen part."""

    def __init__(self):
        super().__init__(nn.Linear(3, 4))
        self.layer = nn.Linear(8, 16)
        self.register_dynamic_buffer("bank", "rows", 8)
        self.bank = torch.randn(100, 8)[::2]


class Hostile:
    """An object that runs a command when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def whole(tmp_path):
    torch.manual_seed(0)
    return save(tmp_path / "model.pth", "autoencoder", Small(), options={}, images={"fit": 3})


def content_of(path):
    return torch.load(path, weights_only=True)


def rewritten(path, **changes):
    """Rewrite a checkpoint with some keys changed and its digest updated."""
    content = content_of(path) | changes
    content = {name: value for name, value in content.items() if value is not None}
    if "sha256" in content and "sha256" not in changes:
        content["sha256"] = checkpoint_file._digest(content)
    torch.save(content, path)


def refusal(path):
    with pytest.raises(CheckpointError) as raised:
        read_checkpoint(path)
    assert str(path) in str(raised.value)
    return str(raised.value)


def test_what_was_written_is_read(whole):
    found = read_checkpoint(whole)
    assert found.metadata == replace(describe("autoencoder"), options={}, images={"fit": 3})
    assert found.model.keys() == {"layer.weight", "layer.bias", "bank"}
    assert found.frozen.keys() == {"backbone"}
    assert torch.equal(
        found.frozen["backbone"]["weight"], content_of(whole)["frozen"]["backbone"]["weight"]
    )
    # A view is saved without the rest of its storage.
    assert found.model["bank"].untyped_storage().nbytes() == 50 * 8 * 4


def test_equal_models_make_equal_digests(tmp_path, whole):
    torch.manual_seed(0)
    again = save(tmp_path / "b.pth", "autoencoder", Small(), options={}, images={"fit": 3})
    assert read_checkpoint(again).sha256 == read_checkpoint(whole).sha256


def damage(data, kind, rng, spans):
    """Return the bytes of a file, damaged in one of several ways within its parts."""
    start, end = rng.choice(spans)
    place = rng.randrange(start, end)
    if kind == "truncated":
        return data[: rng.randrange(1, len(data) - 1)]
    if kind == "flipped":
        return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]
    if kind == "zeroed":
        stop = min(end, place + rng.randrange(8, 400))
        return data[:place] + bytes(stop - place) + data[stop:]
    if kind == "cut out":
        return data[:place] + data[place + rng.randrange(1, 200) :]
    return data[:place] + rng.randbytes(rng.randrange(1, 200)) + data[place:]


def test_damaged_files_are_refused_by_name(whole):
    """Sixty files: each is an error, or its content is unchanged."""
    data = whole.read_bytes()
    with zipfile.ZipFile(whole) as archive:
        spans = [
            (at := entry.header_offset + 64, at + max(8, entry.file_size - 64))
            for entry in archive.infolist()
            if entry.file_size > 100
        ]
    original, rng, said = read_checkpoint(whole).sha256, random.Random(1), []
    kinds = ("truncated", "flipped", "zeroed", "cut out", "inserted")
    for number in range(MUTATIONS):
        whole.write_bytes(damage(data, kinds[number % len(kinds)], rng, spans))
        try:
            found = read_checkpoint(whole)
        except CheckpointError as error:
            said.append(str(error))
        else:
            assert found.sha256 == original == checkpoint_file._digest(content_of(whole))
    assert len(said) >= MUTATIONS - 6
    assert all(str(whole) in each and "found" in each for each in said)


HOSTILE = ("pickle", "whole file", "tensor", "protocol 0", "model", "script")


@pytest.mark.parametrize("kind", HOSTILE)
def test_code_is_never_run(kind, whole, tmp_path):
    mark = tmp_path / "ran"
    hostile = Hostile(mark)
    if kind == "pickle":
        whole.write_bytes(pickle.dumps(hostile))
    elif kind == "protocol 0":
        whole.write_bytes(pickle.dumps(hostile, protocol=0))
    elif kind == "whole file":
        torch.save(hostile, whole)
    elif kind == "tensor":
        torch.save(content_of(whole) | {"model": {"layer.weight": hostile}}, whole)
    elif kind == "model":
        torch.save(nn.Linear(2, 2), whole)
    else:
        script = io.BytesIO()
        with zipfile.ZipFile(script, "w") as archive:
            archive.writestr("archive/constants.pkl", pickle.dumps(hostile))
            archive.writestr("archive/data.pkl", pickle.dumps(hostile))
            archive.writestr("archive/version", "3")
        whole.write_bytes(script.getvalue())
    assert re.search("code|pickle|another kind|damaged", refusal(whole))
    assert not mark.exists()


def test_files_of_another_kind_are_named(tmp_path, whole):
    path = tmp_path / "other.pth"
    kinds = {
        b"": "an empty file",
        b"<!DOCTYPE html><html>": "a web page",
        b"version https://git-lfs.github.com/spec/v1\n": "Git LFS",
        b"hello\n": "text that begins with 'hello'",
        b"\x89PNG\r\n\x1a\n" + bytes(100): "another kind",
        b"PK\x03\x04" + bytes(100): "truncated or damaged archive",
    }
    for data, said in kinds.items():
        path.write_bytes(data)
        assert said in refusal(path)
    torch.save({"layer.weight": torch.zeros(3)}, path)
    assert "bare tensors" in refusal(path)
    torch.save([1, 2], path)
    assert "a list" in refusal(path)
    assert "cannot be read" in refusal(tmp_path)
    assert "No such file" in refusal(tmp_path / "absent.pth")
    with zipfile.ZipFile(whole) as archive, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as to:
        for entry in archive.infolist():
            to.writestr(entry.filename, archive.read(entry))
    assert "compressed" in refusal(path)


def test_newer_versions_and_missing_parts_are_named(whole):
    data = whole.read_bytes()
    for changes, said in (
        ({"version": VERSION + 1}, f"version {VERSION + 1} of the format.*reads {VERSION}.*update"),
        ({"version": "x" * 900}, "version x{20} of the format"),
        ({"format": "another"}, "keys format, version"),
        ({"sha256": "0" * 64}, "does not match its sha256"),
        ({"sha256": None}, "sha256 differ"),
        ({"metadata": "{}"}, "a description without model, recipe"),
        ({"metadata": "["}, "not JSON"),
        ({"metadata": "[" * 100_000}, "not JSON"),
        ({"metadata": "null"}, "a NoneType as description"),
        ({"model": {"layer.weight": "text"}}, "a str instead of a tensor at model/layer.weight"),
        (
            {"model": {"a": {"b": {"c": {"d": {"e": {}}}}}}},
            "a dict instead of a tensor at model/a/b/c/d",
        ),
        ({"model": {"bank": torch.ones(1).expand(1 << 40)}}, "larger than its stored data"),
        ({"frozen": {"backbone": torch.ones(2, device="meta")}}, "damaged|instead of a tensor"),
        ({"stranger": 3}, "differ"),
    ):
        whole.write_bytes(data)
        try:
            rewritten(whole, **changes)
        except CheckpointError:  # its content cannot be read for a digest
            torch.save(content_of(whole) | changes, whole)
        assert re.search(said, refusal(whole)), changes


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("model", 3, "a int as model"),
        ("heads", "score", "a str as heads"),
        ("task", "poetry", "a str as task"),
        ("preprocessing", {"height": 1 << 30, "width": 64}, "1073741824"),
        ("preprocessing", {"height": 64, "width": 64, "crop": [32]}, "64"),
        ("preprocessing", {"height": 64, "width": True}, "a bool as width"),
        ("calibrations", {"": {"score": {"scores": ["high"]}}}, "a str as scores"),
        ("stranger", 1, "unknown field 'stranger'"),
    ],
)
def test_descriptions_of_other_types_are_named(field, value, said, whole):
    described = json.loads(describe("autoencoder").to_json()) | {field: value}
    rewritten(whole, metadata=json.dumps(described))
    assert said in refusal(whole)


def test_description_survives_json():
    own = Calibration((1.5, 2.0), (3.0,), {"a": 1.0}, {"b": 2.0}, (0.0, 1.0), "somewhere")
    one = describe(
        "rd_resnet18",
        calibrations={"": {"single_scale": own}},
        preprocessing=Preprocessing(256, 640, (224, 600), "pad", (2, 3), 32),
        seed=None,
        metrics={"single_scale": {"f1": None, "image_auroc": 0.5}},
    )
    assert Metadata.from_json(one.to_json()) == one


def test_file_that_could_not_be_written_whole_leaves_the_old_one(whole, monkeypatch):
    before = whole.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="space"):
        write_checkpoint(whole, Small(), describe("autoencoder"))
    assert whole.read_bytes() == before
    assert [path.name for path in whole.parent.iterdir()] == ["model.pth"]


def test_bytes_of_tensors_count_in_the_digest():
    content = {"metadata": "{}", "model": {"a": torch.zeros(3)}, "frozen": {}}
    plain = checkpoint_file._digest(content)
    sha = hashlib.sha256(b"{}" + b"model/a torch.float32 (3,)" + bytes(12))
    assert plain == sha.hexdigest()
