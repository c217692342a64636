"""Whole classification sessions: real networks on digits and on tiny files in CIFAR's layout."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from case_names import case_named
from cifar_files import batch, pickled, write_cifar100

from bench.checkpoint.file import read_checkpoint
from bench.run.case import run_case
from bench.run.device_data import DeviceData
from bench.run.inputs import Finder
from bench.run.training import loop
from bench.run.training.moving_average import MovingAverage
from bench.run.training.objective import numbered
from bench.run.training.optimization import order
from bench.settings import Settings
from datasets_lib.discover import find_datasets

CASE = "resnet18-digits-{}-scratch-s0"


def job(tmp_path, case_id, images_seen=1_024, data_dirs=(), weights_dirs=()):
    settings = Settings(
        "smoke",
        "cpu",
        data_dirs,
        weights_dirs,
        tmp_path / "results",
        tmp_path / "cache",
        images_seen=images_seen,
        measure_seconds=2,
    )
    return Finder(settings, find_datasets(data_dirs)).job(case_named(case_id))


def changed(job, **recipe):
    """The job with another recipe."""
    protocol = replace(job.protocol, recipe=replace(job.protocol.recipe, **recipe))
    return replace(job, protocol=protocol)


def run(job):
    record = run_case(job, lambda *_: None, DeviceData())
    assert record.status == "ok", record.error
    return record


@pytest.mark.parametrize(
    "augmentation",
    [
        pytest.param("default", marks=pytest.mark.slow),
        "mixup",
        pytest.param("cutmix", marks=pytest.mark.slow),
    ],
)
def test_training_lowers_the_loss_and_beats_chance(tmp_path, augmentation):
    record = run(changed(job(tmp_path, CASE.format(augmentation), 2_000), batch_size=32))
    losses = [loss for _, loss in record.curve]
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:2])
    metrics = record.metrics["last_epoch"]
    assert metrics["top1"] > 0.4  # chance is .1
    assert metrics["top5"] >= metrics["top1"]
    assert metrics["top1_best_epoch"] >= metrics["top1"] == record.epochs[-1][1]
    assert len(record.epochs) == 2  # a pass of 1,438 images, and the end
    assert record.fingerprints["images"] == {"fit": 1438, "test": 359}
    assert record.seed == 223
    speed = record.measurements["train_images_per_s"]
    assert speed == pytest.approx(32 / np.median(record.samples["train_step"]))
    assert record.timings["evaluate"] > 0
    with np.load(tmp_path / "results" / record.artifacts["predictions"]) as file:
        right = file["predicted"] == file["labels"]
        assert right.mean() == metrics["top1"]
        assert (file["log_probabilities"].argmax(1) == file["predicted"]).mean() > 0.99


@pytest.mark.slow
def test_a_killed_training_is_taken_up_bit_equal(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    plan = job(tmp_path, CASE.format("cutmix"), images_seen=1_024)
    plan = changed(plan, ema_decay=0.9, base_transform="flip_crop")
    settings = replace(plan.settings, save_models=True, measurements=False)
    plan = replace(plan, settings=settings)
    whole = run(plan)
    kept = read_checkpoint(tmp_path / "results" / whole.artifacts["model"]).model

    def kill(phase, info):
        if phase == "train" and info.get("step") == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_case(plan, kill, DeviceData())
    resumed = run(plan)
    assert resumed.fingerprints["resumed_at"] == 2
    assert resumed.curve == whole.curve
    assert resumed.epochs == whole.epochs
    assert resumed.metrics == whole.metrics
    again = read_checkpoint(tmp_path / "results" / resumed.artifacts["model"]).model
    assert kept.keys() == again.keys()
    for name, tensor in kept.items():
        assert torch.equal(tensor, again[name]), name


def test_a_session_prints_its_figures_and_resumes(session_options, run_session, store):
    options = [*session_options, "--images-seen", "128", "-k", CASE.format("mixup")]
    options += ["--measure-seconds", "2"]
    result = run_session(*options)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*resnet18-digits-mixup-scratch-s0*ok*Top-1*"])
    run_session(*options).stdout.fnmatch_lines(["*1 cached*"])
    assert len(store.records()) == 1


def test_missing_data_are_a_skip_with_the_remedy(session_options, run_session):
    result = run_session(*session_options, "-k", "resnet18-cifar100-default-scratch", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*bench data get cifar100*"])


def write_twenty_classes(folder, labels=None, trained=20, **overwritten):
    """CIFAR-100's layout with a number of training images of 20 of its 100 classes."""
    write_cifar100(folder, classes=100)
    labels = labels or [n % 20 for n in range(40)]
    coarse = {"coarse_labels": [0] * 40}
    for split, classes in (("train", trained), ("test", 20)):
        own = [label % classes if label < 20 else label for label in labels]
        (folder / split).write_bytes(pickled(batch(own, b"fine_labels", **coarse)))
    for name, data in overwritten.items():
        (folder / name).write_bytes(data)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"labels": [100] * 40}, "label"),
        ({"train_file": b"not a pickle"}, "train"),
        ({"test_file": b""}, "test"),
    ],
)
def test_broken_data_are_a_failed_case_that_names_the_file(
    tmp_path, session_options, run_session, store, files, message
):
    files = {name.removesuffix("_file"): value for name, value in files.items()}
    write_twenty_classes(tmp_path / "data" / "cifar-100-python", **files)
    result = run_session(
        *session_options,
        "-k",
        "resnet18-cifar100-default-scratch",
        "--data-dir",
        str(tmp_path / "data"),
    )
    result.assert_outcomes(failed=1)
    record = store.records()[-1]
    assert record.outcome == "data"
    assert message in record.error["message"]


def test_a_class_that_is_judged_but_cannot_be_learned_is_an_error(tmp_path):
    write_twenty_classes(tmp_path / "data" / "cifar-100-python", trained=18)
    plan = job(tmp_path, "resnet18-cifar100-default-scratch-s0", data_dirs=(tmp_path / "data",))
    record = run_case(plan, lambda *_: None, DeviceData())
    assert (record.status, record.outcome) == ("failed", "data")
    assert "2 of the 100 classes of cifar100" in record.error["message"]
    assert "such as 'class18'" in record.error["message"]


def test_a_class_without_training_images_is_reported(tmp_path):
    write_twenty_classes(tmp_path / "data" / "cifar-100-python")
    plan = job(
        tmp_path,
        "resnet18-cifar100-default-scratch-s0",
        images_seen=64,
        data_dirs=(tmp_path / "data",),
    )
    record = run(plan)
    assert "80 of 100 classes have no training image" in record.notes["last_epoch.top1"]
    assert "80 of 100 classes have no test image" in record.notes["last_epoch.macro_recall"]


def test_a_loss_that_is_not_finite_is_an_outcome(tmp_path):
    plan = changed(job(tmp_path, CASE.format("default")), optimizer="sgd", lr=1e18)
    record = run_case(plan, lambda *_: None, DeviceData())
    assert (record.status, record.outcome) == ("failed", "nan")
    assert "learning rate" in record.error["message"]


def test_moving_average_forgets_the_start_and_follows_the_definition():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    average = MovingAverage(model, 0.9)
    expected = model[0].weight.detach().double().clone()
    for update in range(40):
        with torch.no_grad():
            model[0].weight.normal_()
        model(torch.randn(4, 3))
        average.update(model, update)
        decay = min(0.9, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * model[0].weight.detach().double()
    torch.testing.assert_close(average.module[0].weight.double(), expected, atol=1e-5, rtol=0)
    assert average.module[1].num_batches_tracked == model[1].num_batches_tracked == 40


def test_what_is_drawn_is_never_drawn_twice_not_even_where_a_batch_holds_the_end_of_a_pass():
    count, batch, seen = 10, 4, []
    passes = order(count, 60, seed=0)
    for step, index in enumerate(passes.split(batch)):
        seen += numbered(index, step, count).tolist()
    assert len(set(seen)) == 60
    assert sorted(seen) == list(range(60))  # every image once per pass
