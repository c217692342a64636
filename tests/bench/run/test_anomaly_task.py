"""Every anomaly model through the harness: learning on real images, kill and resume, equal repeats.

Models start from ResNet18's published weights where the folder of real data has them.
"""

import os
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from training_reports import quiet

from bench.case import Case
from bench.metrics.ranking import auroc
from bench.run import anomaly
from bench.run.anomaly import AnomalyTask
from bench.run.device_data import DeviceData
from bench.run.inputs import Finder
from bench.run.predict import predict_all
from bench.run.training import loop
from bench.run.training.train import TrainingData, _check
from bench.settings import Settings
from datasets_lib.discover import find_datasets
from models.catalog import MODELS
from models.components.base import AnomalyModel, Prediction

CPU = torch.device("cpu")
# Images seen: enough for the loss to fall, within seconds.
BUDGET = {"stfpm_resnet18": 400, "fre_resnet18": 800, "rd_resnet18": 240, "autoencoder": 400}
ONE_PASS = ("padim_resnet18", "patchcore_resnet18", "dfm_resnet18", "dfkde_resnet18")
FITTED = (
    *(*ONE_PASS, *BUDGET, "cfa_resnet18"),
    pytest.param("efficientad_small", marks=pytest.mark.slow),
)
# The weights file of the real data lacks layer 4, and no teacher of patches is published.
SCRATCH = ("dfkde_resnet18", "cflow_resnet18", "autoencoder", "efficientad_small")
TRAINED = [name for name, e in MODELS.items() if e.recipes["baseline"].optimizer != "none"]
SMALL = {"autoencoder"}


def weights_dirs():
    folder = os.environ.get("PROVING_GROUND_TEST_DATA")
    return (Path(folder) / "weights",) if folder else ()


@pytest.fixture(scope="module")
def fit(tmp_path_factory, generated_once):
    """Fit a model to surface's smoke texture at 64 pixels; all fits share one cache."""
    root = tmp_path_factory.mktemp("zoo")
    generated_once(root / "cache")
    device_data = DeviceData()

    def fit(name, progress=quiet, images_seen=48, found=MappingProxyType({}), **options):
        pretrained = bool(weights_dirs()) and "resnet18" in name and name not in SCRATCH
        settings = Settings("smoke", "cpu", (), weights_dirs(), root, root / "cache", image_size=64)
        case = Case(name, "baseline", "surface", "woven", "default", pretrained, 0)
        job = Finder(replace(settings, **options), dict(found)).job(case)
        job = replace(job, protocol=replace(job.protocol, images_seen=images_seen))
        task = AnomalyTask(job, CPU, device_data, progress)
        task.load()
        model = task.build()
        task.prepare(model)
        return model, task.train(model), task

    return fit


@pytest.fixture(scope="module", params=FITTED)
def fitted(request, fit):
    """Return a fitted model, its training result and its task."""
    name = request.param
    model, trained, task = fit(name, images_seen=BUDGET.get(name, 48))
    task.job.checkpoint.unlink(missing_ok=True)
    return name, model, trained, task


def predictions_of(model, images):
    return predict_all(model, images, batch_size=16, device=CPU, progress=quiet)


def assert_equal(model, other, images):
    predictions = predictions_of(other, images)
    for head, expected in predictions_of(model, images).items():
        assert torch.equal(expected.scores, predictions[head].scores)


def test_every_batch_of_a_prediction_makes_room(fitted, monkeypatch):
    _, model, _, task = fitted
    calls = []
    monkeypatch.setattr("bench.run.predict.make_room", lambda: calls.append(1))
    images = task.data.test.images[:5]
    predict_all(model, images, batch_size=2, device=CPU, progress=quiet)
    assert len(calls) == 3


def test_loss_falls_or_statistics_are_gathered(fitted):
    name, model, trained, task = fitted
    for prediction in predictions_of(model, task.data.test.images).values():
        assert prediction.scores.isfinite().all()
        assert prediction.scores.std() > 0
    if name in ONE_PASS:
        assert trained.steps == 0
        assert trained.gather_seconds > 0
    elif name in BUDGET:
        tenth = max(1, len(trained.losses) // 10)
        assert sum(trained.losses[-tenth:]) < 0.9 * sum(trained.losses[:tenth])


def test_the_time_to_fit_counts_gathering_also_where_steps_follow(fitted):
    name, model, trained, task = fitted
    parts = task.fit_parts(trained)
    assert ("gathering" in parts) == model.gathers_statistics
    assert ("optimizer steps" in parts) == (trained.steps > 0)
    if name in ("cfa_resnet18", "efficientad_small"):
        assert {"gathering", "optimizer steps"} <= parts.keys()
        assert parts["gathering"] == trained.gather_seconds > 0


@pytest.fixture
def pictures(tmp_path):
    """Both sets of auxiliary pictures on disk: green, within a red frame of a quarter."""
    pixels = np.zeros((96, 128, 3), np.uint8)
    pixels[..., 0] = 255
    pixels[20:-20, 28:-28] = (0, 255, 0)  # more than the middle half, for resampling
    for folder in ("dtd/images/banded", "imagenette2/train/n01440764", "imagenette2/val/one"):
        (tmp_path / folder).mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / folder / "one.png")
    return find_datasets([tmp_path])


@pytest.mark.parametrize(
    ("name", "source", "framed"),
    [("efficientad_small", "imagenette2", False), ("draem", "dtd", True)],
)
def test_a_penalty_sees_the_middle_of_pictures_and_other_models_see_all_of_them(
    fit, pictures, monkeypatch, name, source, framed
):
    monkeypatch.setattr(anomaly, "train", lambda *_: None)  # what it would be given is enough
    _, _, task = fit(name, found=pictures)
    assert task.fingerprints["auxiliary_pictures"] == source
    batch = task.extras.fields(torch.zeros(4, 3, 64, 64), torch.arange(4), 0)["auxiliary"]
    red, green = batch[:, 0], batch[:, 1]
    assert batch.shape == (4, 3, 64, 64)
    assert green.max() == 1
    assert (red.max() > 0.99) == framed
    assert (green.min() < 0.01) == framed


# On real features of surface's smallest texture at 64 px, where chance is .5.
MIN_AUROC = {
    "padim_resnet18": 0.75,
    "patchcore_resnet18": 0.75,
    "dfm_resnet18": 0.75,
    "stfpm_resnet18": 0.6,
    "fre_resnet18": 0.7,
    "cfa_resnet18": 0.7,
    "rd_resnet18": 0.65,
}


@pytest.mark.real_data
def test_defects_score_above_normal_images(fitted):
    name, model, _, task = fitted
    if not task.job.case.pretrained or name not in MIN_AUROC:
        pytest.skip(f"{name} starts from random weights here")
    prediction = predictions_of(model, task.data.test.images)[MODELS[name].heads[0]]
    assert auroc(prediction.scores, task.data.test.labels) > MIN_AUROC[name]


def test_cached_features_predict_as_images_do(fitted):
    _, model, _, task = fitted
    if model.backbone is None:
        pytest.skip("it has no frozen backbone")
    images = task.data.test.images
    cached = predict_all(
        model,
        images,
        batch_size=16,
        device=CPU,
        progress=quiet,
        features=task.features["test"],
    )
    for head, prediction in predictions_of(model, images).items():
        torch.testing.assert_close(prediction.scores, cached[head].scores, rtol=1e-4, atol=1e-5)


def test_cudnn_tries_no_algorithms_for_a_last_smaller_batch(monkeypatch):
    tuned = []

    class Watched(torch.nn.Module):
        backbone = None

        def predict(self, batch):
            tuned.append(torch.backends.cudnn.benchmark)
            return {"score": Prediction(batch.get_images().flatten(1).mean(1), None)}

    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    predictions_of(Watched(), torch.zeros(40, 3, 8, 8, dtype=torch.uint8))
    assert tuned == [True, True, False]
    assert torch.backends.cudnn.benchmark


def test_cudnn_tries_no_algorithms_for_the_two_images_of_the_first_check(monkeypatch):
    tuned = []

    class Watched(AnomalyModel):
        def predict(self, batch):
            tuned.append(torch.backends.cudnn.benchmark)
            return {"score": Prediction(batch.get_features()[0].mean((1, 2, 3)), None)}

    def backbone(images):
        tuned.append(torch.backends.cudnn.benchmark)
        return [images]

    model = Watched()
    object.__setattr__(model, "backbone", backbone)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    job = SimpleNamespace(case=SimpleNamespace(model="autoencoder"))
    _check(model, TrainingData(torch.zeros(2, 3, 8, 8, dtype=torch.uint8)), job, CPU)
    assert tuned == [False] * 4  # the backbone, both images, and each alone
    assert torch.backends.cudnn.benchmark


def test_the_pace_of_training_is_reported_without_the_dry_pass(fit):
    told = []
    fit("stfpm_resnet18", lambda phase, info: told.append((phase, set(info))), images_seen=16)
    first = told.index(("train", {"step", "steps", "loss"}))
    assert told[first - 1] == ("train", set())


class Killed(Exception):
    pass


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("stfpm_resnet18", *SMALL) else pytest.param(name, marks=pytest.mark.slow)
        for name in TRAINED
        if MODELS[name].task == "anomaly"
        and ("resnet18" in name or name in (*SMALL, "dinomaly_deit_tiny"))
    ],
)
def test_killed_training_resumes_bit_equal(fit, monkeypatch, name):
    model, trained, task = fit(name)
    task.job.checkpoint.unlink(missing_ok=True)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)

    def kill(phase, info):
        if phase == "train" and info.get("step") == 2:
            raise Killed

    with pytest.raises(Killed):
        fit(name, kill)
    resumed, after, task = fit(name)
    task.job.checkpoint.unlink(missing_ok=True)
    assert (trained.resumed_at, after.resumed_at) == (0, 1)
    assert after.losses == trained.losses
    assert_equal(model, resumed, task.data.test.images[:8])
