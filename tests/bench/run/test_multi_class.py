"""One model for all categories, of which one has no masks: the others keep their pixel metrics."""

import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from case_names import case_named

from bench import plots
from bench.run.anomaly import AnomalyTask
from bench.run.device_data import DeviceData
from bench.run.inputs import Finder
from bench.run.multi_class import mean_over
from bench.run.predict import HeadPredictions
from bench.run.task import Evaluation
from bench.settings import Settings
from datasets_lib.discover import find_datasets

CASE = case_named("dfm_resnet18-parts.all-default-scratch-s0")
CROP = 32


@pytest.fixture(params=["no defects", "no masks"])
def find_task(request, tmp_path, write_category):
    """Return the loaded task of a category, or of both, of which the nut lacks masks."""
    data, is_bare = tmp_path / "data", request.param == "no masks"
    write_category(data / "parts" / "bolt", 6, 2, 6)
    nut = write_category(data / "parts" / "nut", 6, 2, 4 if is_bare else 0)
    if is_bare:
        shutil.rmtree(nut / "ground_truth")
    settings = Settings(
        *("smoke", "cpu", (data,), (), tmp_path / "results", tmp_path / "cache"),
        image_size=64,
        plots=False,
        panels=True,
    )
    finder = Finder(settings, dict(find_datasets([data])))

    def find(category, crop=None):
        job = finder.job(replace(CASE, category=category))
        job = replace(job, protocol=replace(job.protocol, crop=crop))
        task = AnomalyTask(job, torch.device("cpu"), DeviceData(), lambda *_: None)
        task.load()
        return task

    return find


def predictions_of(task):
    """Return the brightness of each pixel: defects are bright spots."""
    maps = {
        split: getattr(task.data, split).images.float().mean(1) for split in ("test", "calibration")
    }
    return {split: {"score": HeadPredictions(m.amax((1, 2)), m)} for split, m in maps.items()}


def evaluate(task):
    return task.evaluate(predictions_of(task), None)


@pytest.mark.parametrize("crop", [None, CROP])
def test_the_others_have_the_metrics_of_their_own_case(find_task, crop):
    whole, single = (evaluate(find_task(category, crop)) for category in ("all", "bolt"))
    assert whole.categories.keys() == single.metrics.keys()
    for head, expected in single.metrics.items():
        assert math.isfinite(expected["pixel_auroc"])
        assert whole.categories[head]["bolt"] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("crop", [None, CROP])
def test_the_mean_says_which_category_lacks_masks(find_task, crop):
    whole = evaluate(find_task("all", crop))
    assert whole.reasons["score.category.nut.pixel_auroc"] == "the dataset has no masks"
    assert whole.reasons["score.pixel_auroc"] == "the dataset has no masks in nut"
    for head, values in whole.metrics.items():
        assert math.isnan(values["pixel_auroc"])
        own = whole.categories[head]["nut"]
        missing = {f"{head}.{name}" for name, value in values.items() if math.isnan(value)}
        missing |= {f"{head}.category.nut.{n}" for n, value in own.items() if math.isnan(value)}
        assert missing <= whole.reasons.keys()


def test_a_mean_over_categories_needs_the_metric_in_each():
    parts = {
        "bolt": Evaluation({"score": {"image_auroc": 0.9, "pixel_auroc": 0.8}}),
        "nut": Evaluation({"score": {"image_auroc": 0.7}}),
    }
    whole = mean_over(parts)
    expected = {"image_auroc": 0.8, "pixel_auroc": math.nan}
    assert whole.metrics["score"] == pytest.approx(expected, nan_ok=True)
    assert whole.reasons == {"score.pixel_auroc": "not computed in nut"}


def test_files_show_no_masks_of_a_category_without_any(find_task, monkeypatch):
    shown = {}
    monkeypatch.setattr(
        plots, "draw_image_panels", lambda panels, folder: shown.update({folder.name: panels.masks})
    )
    task = find_task("all")
    task.job.folder.mkdir(parents=True)
    record = task.job.record(**vars(evaluate(task)))
    files = task.write_files(None, predictions_of(task), record)
    assert shown["bolt"].any()
    assert shown["nut"] is None
    with np.load(files["maps"]) as arrays:
        assert "maps.score" in arrays
        assert "masks" not in arrays
