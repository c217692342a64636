"""Cases on a CUDA device: the paths the CPU never takes."""

import pytest
import torch

from bench.case import parse_id
from bench.run.inline import InlineRunner
from bench.run.inputs import Finder
from bench.run.isolate import IsolatedRunner
from bench.settings import Settings
from datasets_lib.discover import find_datasets

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.fixture
def job(tmp_path, write_category):
    write_category(tmp_path / "data" / "tiny" / "tile")

    def make(model="rd_resnet18", device="cuda", precision="bf16"):
        settings = Settings(
            "smoke",
            device,
            (tmp_path / "data",),
            (),
            tmp_path / "results",
            tmp_path / "cache",
            images_seen=64,
            image_size=64,
            precision=precision,
        )
        finder = Finder(settings, find_datasets(settings.data_dirs))
        return finder.job(parse_id(f"{model}-tiny.tile-default-scratch-s0", "rd_backbone"))

    return make


@pytest.mark.parametrize("augmentation", ["default", "mixup", "cutmix"])
def test_a_classifier_trains_without_leaving_the_device(tmp_path, augmentation):
    settings = Settings(
        "smoke",
        "cuda",
        (),
        (),
        tmp_path / "results",
        tmp_path / "cache",
        images_seen=8_192,
        precision="bf16",
    )
    case = parse_id(f"resnet18-digits-{augmentation}-scratch-s0", "classifiers")
    record = InlineRunner().run(Finder(settings, {}).job(case), lambda *_: None)
    assert record.status == "ok", record.error
    assert record.metrics["last_epoch"]["top1"] > 0.5
    assert record.fingerprints["images_held"] == dict.fromkeys(
        ("fit", "test"), "resident on the device"
    )
    assert record.measurements["peak_device_bytes"] > record.measurements["trainable_parameters"]


@pytest.mark.parametrize("model", ["rd_resnet18", "rd_convnext", "rd_convnext_cnblock"])
def test_a_case_runs_and_is_measured(job, model):
    record = InlineRunner().run(job(model), lambda *_: None)
    assert record.status == "ok", record.error
    assert record.environment["tf32"] is False
    assert record.fingerprints["frozen_features"] == "computed once"
    assert record.measurements["peak_device_bytes"] > record.measurements["trainable_parameters"]
    assert len(record.samples["train_step"]) > 0
    assert all(seconds > 0 for seconds in record.samples["train_step"])
    assert record.curve[-1][1] < record.curve[0][1]


def test_a_child_with_cuda_serves_and_the_parent_never_starts_it(job):
    runner = IsolatedRunner(300.0, 120.0)
    try:
        records = [runner.run(job(arm), lambda *_: None) for arm in ("rd_resnet18",) * 2]
    finally:
        runner.close()
    assert [record.status for record in records] == ["ok", "ok"]


def test_cuda_and_cpu_agree_in_float32(job):
    cuda = InlineRunner().run(job(precision="float32"), lambda *_: None)
    cpu = InlineRunner().run(job(device="cpu", precision="float32"), lambda *_: None)
    assert cuda.curve[0][1] == pytest.approx(cpu.curve[0][1], rel=1e-3)


def test_a_device_that_is_not_there_is_said(job):
    record = InlineRunner().run(job(device="cuda:99"), lambda *_: None)
    assert (record.status, record.outcome) == ("failed", "device")
    assert "--device cpu" in record.error["message"]


def test_out_of_device_memory_is_a_failed_record_of_its_own_kind(job):
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-4)
    try:
        record = InlineRunner().run(job(), lambda *_: None)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert (record.status, record.outcome) == ("failed", "oom")
    assert InlineRunner().run(job(), lambda *_: None).status == "ok"
