"""A case that cannot run is filed under its cause, with a message that says what to change."""

from pathlib import Path

import pytest
import torch
from case_names import case_named

from bench.run.case import explain
from bench.run.inputs import Finder
from bench.settings import Settings
from datasets_lib.discover import FoundDataset
from datasets_lib.layouts.category import Category, DatasetError, Sample


@pytest.fixture
def session(session_options, run_session, tmp_path):
    """Run a session on the test's data without pictures and speeds."""
    (tmp_path / "data").mkdir()
    own = ["--no-pictures", "--no-measurements", "--images-seen", "4"]
    own += ["--data-dir", str(tmp_path / "data")]
    return lambda *more: run_session(*session_options, *own, *more)


def test_an_image_size_that_a_model_cannot_take_is_the_recipes_fault(
    session, store, tmp_path, write_category
):
    write_category(tmp_path / "data/tiny/tile", train=4, good=2, spots=2)
    models = "autoencoder or rd_resnet18 or dfm_resnet18 or efficientad_small or fre_resnet18"
    session("-k", f"tiny and scratch and ({models})", "--image-size", "15")
    records = store.records()
    assert {r.case.model: r.outcome for r in records} == dict.fromkeys(
        models.split(" or "), "recipe"
    )
    for record in records:
        assert "pixels" in record.error["message"] or "image size" in record.error["message"]


def test_a_layer_that_finds_its_images_too_small_is_the_recipes_fault(session, store):
    session("-k", "deit_tiny_patch16_224-digits-default-scratch", "--image-size", "7")
    (record,) = store.records()
    assert record.outcome == "recipe"
    assert "larger --image-size" in record.error["message"]


@pytest.mark.parametrize(("shown", "outcome"), [(0, "skipped"), (100, "failed")])
def test_a_missing_device_is_skipped_unless_the_driver_shows_it(
    session, store, monkeypatch, shown, outcome
):
    monkeypatch.setattr("bench.run.device.visible_devices", lambda: shown)
    result = session("-k", "resnet18-digits-default-scratch", "--device", "cuda:99", "--no-isolate")
    result.assert_outcomes(**{outcome: 1})
    assert [record.outcome for record in store.records()] == ["device"] * (outcome == "failed")
    text = " ".join(result.outlines)
    assert "device cuda:99 was requested" in text
    assert "or run with --device cpu" in text


def test_one_image_is_too_few_for_what_needs_two(session, store, tmp_path, write_category):
    write_category(tmp_path / "data/few/tile", train=1, good=2, spots=2)
    models = "padim_resnet18 or dfm_resnet18 or efficientad_small"
    session("-k", f"few and scratch and ({models})", "--image-size", "64")
    outcomes = {r.case.model: (r.outcome, r.error["message"]) for r in store.records()}
    assert set(outcomes) == set(models.split(" or "))
    for outcome, message in outcomes.values():
        assert outcome == "data"
        assert "images" in message


def test_a_missing_mask_is_one_paragraph(session, store, tmp_path, write_category):
    write_category(tmp_path / "data/tiny/tile", train=4, good=2, spots=2)
    (tmp_path / "data/tiny/tile/ground_truth/spot/001_mask.png").unlink()
    result = session("-k", "padim_resnet18-tiny.tile-default-scratch-s0")
    assert [record.outcome for record in store.records()] == ["data"]
    result.stdout.fnmatch_lines(["*001.png*", "1 failed (data) *", "next *data verify tiny*"])
    for part in ("*Traceback*", "*KeyError*", "no case was run*"):
        result.stdout.no_fnmatch_line(part)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    ],
)
def test_every_error_of_memory_is_filed_as_such(error):
    assert explain(error)[0] == "oom"


def category(train, test):
    samples = [Sample(f"{i}.png", Path(f"{i}.png")) for i in range(train + test)]
    return Category("own", "c", tuple(samples[:train]), tuple(samples[train:]), has_masks=False)


@pytest.mark.parametrize(
    ("reader", "said"),
    [
        (lambda *_: category(0, 2), "no training images"),
        (lambda *_: category(2, 0), "no test images"),
        (lambda *_: {}["missing"], "KeyError"),
    ],
    ids=["no_train", "no_test", "raises"],
)
def test_a_reader_that_fails_or_lists_nothing_is_the_datas_fault(tmp_path, reader, said):
    found = {"own": FoundDataset("own", tmp_path, {"c": tmp_path}, reader)}
    settings = Settings("smoke", "cpu", (tmp_path,), (), tmp_path, tmp_path)
    with pytest.raises(DatasetError, match=said):
        Finder(settings, found).job(case_named("padim_resnet18-own.c-default-scratch-s0"))
