"""Cases on a CUDA device: the paths the CPU never takes."""

import numpy as np
import pytest
import torch
from case_names import case_named
from training_reports import quiet

from bench.metrics.evaluation import compute_metrics
from bench.metrics.pixels import PixelInputs
from bench.metrics.regions import label_regions
from bench.predict.predictor import load_checkpoint
from bench.run.anomaly import AnomalyTask
from bench.run.device import use_device
from bench.run.device_data import DeviceData
from bench.run.inline import InlineRunner
from bench.run.inputs import Finder
from bench.run.isolate import IsolatedRunner
from bench.settings import Settings
from datasets_lib.discover import find_datasets

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

ONE_PASS = (
    "padim_resnet18",
    "patchcore_resnet18",
    "patchcore_resnet18.anomalib",
    "patchcore_resnet18.approximate",
    "dfm_resnet18",
    "dfkde_resnet18",
)
TRAINED = ("cfa_resnet18", "stfpm_resnet18", "fre_resnet18", "autoencoder", "rd_resnet18")


@pytest.fixture
def job(tmp_path, write_category):
    write_category(tmp_path / "data" / "tiny" / "tile")

    def make(model="rd_resnet18", device="cuda", precision="float32", **settings):
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
            **{"plots": False, "measurements": False} | settings,
        )
        finder = Finder(settings, find_datasets(settings.data_dirs))
        return finder.job(case_named(f"{model}-tiny.tile-default-scratch-s0"))

    return make


def finished(job):
    record = InlineRunner().run(job, quiet)
    assert record.status == "ok", record.error
    return record


def scores_of(job):
    """Image scores by head that the job's run wrote."""
    with np.load(job.folder / "scores.npz") as kept:
        return {name: kept[name] for name in kept.files if name.startswith("scores.")}


def assert_near(found, wanted, share):
    """Scores differ by no more than a share of the largest."""
    assert found.keys() == wanted.keys()
    for head, scores in wanted.items():
        assert np.abs(found[head] - scores).max() <= share * np.abs(scores).max(), head


@pytest.mark.parametrize("augmentation", ["default", "mixup", "cutmix"])
def test_a_classifier_trains_without_leaving_the_device(tmp_path, augmentation):
    settings = Settings(
        "smoke",
        "cuda",
        (),
        (),
        tmp_path / "results",
        tmp_path / "cache",
        images_seen=24_576,  # CutMix learns slowly: 0.34 of 8,192, 0.99 of these
        precision="bf16",
    )
    case = case_named(f"resnet18-digits-{augmentation}-scratch-s0")
    record = finished(Finder(settings, {}).job(case))
    assert record.metrics["last_epoch"]["top1"] > 0.5
    assert record.fingerprints["images_held"] == dict.fromkeys(
        ("fit", "test"), "resident on the device"
    )
    assert record.measurements["train_rise_device_bytes"] > record.measurements["model_bytes"]


@pytest.mark.parametrize("model", ["rd_resnet18", "rd_convnext", "rd_convnext_cnblock"])
def test_a_case_runs_and_is_measured(job, model):
    record = finished(job(model, precision="bf16", plots=True, measurements=True))
    assert record.environment["tf32"] is False
    assert record.fingerprints["feature_cache"] == "cold"
    assert record.fingerprints["features_computed"]["fit"] == record.fingerprints["images"]["fit"]
    assert record.measurements["train_rise_device_bytes"] > record.measurements["model_bytes"]
    assert len(record.samples["train_step"]) > 0
    assert all(seconds > 0 for seconds in record.samples["train_step"])
    assert record.curve[-1][1] < record.curve[0][1]


def test_a_child_with_cuda_serves_and_the_parent_never_starts_it(job):
    runner = IsolatedRunner(300.0, 120.0)
    try:
        records = [runner.run(job(head, precision="bf16"), quiet) for head in ("rd_resnet18",) * 2]
    finally:
        runner.close()
    assert [record.status for record in records] == ["ok", "ok"], [r.error for r in records]


@pytest.mark.parametrize("model", TRAINED)
def test_cuda_and_cpu_agree_on_the_first_loss_in_float32(job, model):
    cuda = finished(job(model))
    cpu = finished(job(model, device="cpu"))
    assert cuda.curve[0][1] == pytest.approx(cpu.curve[0][1], rel=1e-3)


@pytest.mark.parametrize("model", ONE_PASS)
def test_statistics_gathered_on_cuda_score_as_those_of_the_cpu(job, model):
    there, here = job(model), job(model, device="cpu")
    finished(there)
    found = scores_of(there)
    finished(here)
    assert_near(found, scores_of(here), 1e-3)


@pytest.mark.parametrize("model", [*ONE_PASS, *TRAINED, "efficientad_small"])
def test_what_cuda_learned_predicts_the_same_on_the_cpu(job, model):
    there, here = job(model, save_models=True), job(model, device="cpu")
    finished(there)
    images = DeviceData().load(here, here.inputs, quiet).test.images
    predictions = load_checkpoint(there.folder / "model.pth").predict(images, 8)
    assert_near(
        {f"scores.{head}": s.scores.numpy() for head, s in predictions.items()},
        scores_of(there),
        1e-3,
    )


@pytest.mark.parametrize("model", [*ONE_PASS, *TRAINED])
def test_flops_are_the_cpus(job, model):
    there = finished(job(model, measurements=True)).measurements
    here = finished(job(model, device="cpu", measurements=True)).measurements
    for name in ("inference_flops", "train_flops"):
        assert there.get(name) == here.get(name), name


def test_features_lie_on_the_device_and_are_the_cpus(job):
    def parts(device):
        device_data = DeviceData()
        task = AnomalyTask(job(device=device), use_device(device), device_data, quiet)
        task.load()
        task.prepare(task.build())
        device_data.features(task.job).flush()
        return task.features["test"].parts

    for there, here in zip(parts("cuda"), parts("cpu"), strict=True):
        assert there.is_cuda
        torch.testing.assert_close(there.cpu(), here, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ["exact", "histogram"])
def test_pixel_metrics_are_the_cpus_and_maps_stay_on_the_device(monkeypatch, method):
    generator = torch.Generator().manual_seed(0)
    masks = torch.zeros(8, 256, 256, dtype=torch.bool)
    masks[4:, 40:70, 90:140] = masks[6:, 200:203, 10:90] = True
    maps, calibration = torch.randn(2, 8, 256, 256, generator=generator)
    maps = (maps + 2 * masks).mul_(100).round_()  # ties
    regions = label_regions(masks)
    inputs = PixelInputs(maps, regions, calibration * 100, method)
    here, thresholds = compute_metrics(inputs), inputs.thresholds()
    there = PixelInputs(maps.cuda(), regions, calibration.cuda() * 100, method)
    for name in ("cpu", "numpy", "tolist"):
        monkeypatch.setattr(torch.Tensor, name, small_only(getattr(torch.Tensor, name)))
    assert compute_metrics(there).metrics == pytest.approx(here.metrics, abs=1e-6)
    for each, expected in zip(there.thresholds(), thresholds, strict=True):
        assert (each.name, each.value) == (expected.name, pytest.approx(expected.value))


def small_only(method):
    """A copy off the device that no map may take."""

    def way(tensor, *arguments, **named):
        assert not tensor.is_cuda or tensor.numel() < 256**2
        return method(tensor, *arguments, **named)

    return way


def test_a_missing_device_is_skipped(job):
    record = InlineRunner().run(job(device="cuda:99"), quiet)
    assert (record.status, record.outcome) == ("skipped", "device")
    assert "--device cpu" in record.error["message"]


def test_out_of_device_memory_is_a_failed_record_of_its_own_kind(job):
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-4)
    try:
        record = InlineRunner().run(job(), quiet)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert (record.status, record.outcome) == ("failed", "oom")
    finished(job())
