"""A case that was evaluated keeps its numbers, whatever becomes of its pictures and files."""

import errno
import math
from unittest.mock import patch

import pytest
import torch
from case_names import case_named

import models.catalog
from bench import plots
from bench.predict.predictor import load_checkpoint
from bench.run.case import run_case
from bench.run.device_data import DeviceData
from bench.run.inputs import Finder
from bench.settings import Settings
from datasets_lib.discover import find_datasets
from models.catalog import ModelEntry, Recipe
from models.components.base import AnomalyModel, Prediction

SIDE = 32


class Brightness(AnomalyModel):
    """Scores an image by its brightest finite pixel; its maps are infinite from a row on."""

    def __init__(self, infinite_from):
        super().__init__()
        self.infinite_from = infinite_from
        self.register_buffer("seen", torch.zeros(()))

    def update(self, batch):
        self.seen += len(batch.get_images())

    def compute(self):
        pass

    def predict(self, batch):
        maps = batch.get_images().mean(1)
        scores = maps.amax((1, 2))
        maps[:, self.infinite_from :] = torch.inf
        return {"score": Prediction(scores=scores, maps=maps)}


@pytest.fixture
def run(tmp_path, write_category):
    """Run a case on a tiny dataset to its record, with pictures and a saved model."""
    write_category(tmp_path / "data" / "tiny" / "tile", train=24, good=2, spots=2, side=SIDE)
    settings = Settings(
        *("smoke", "cpu", (tmp_path / "data",), (), tmp_path / "results", tmp_path / "cache"),
        image_size=SIDE,
        panels=True,
        save_models=True,
        measurements=False,
    )

    def run_with(infinite_from=SIDE):
        entry = ModelEntry(
            name="brightness",
            family="test",
            build=lambda *, weights, state: Brightness(infinite_from),
            weights=None,
            recipes={"baseline": Recipe(optimizer="none", epochs=1, source="test")},
        )
        with patch.dict(models.catalog._models, {entry.name: entry}):
            finder = Finder(settings, find_datasets(settings.data_dirs))
            job = finder.job(case_named("brightness-tiny.tile-default-scratch-s0"))
            record = run_case(job, lambda *_: None, DeviceData())
            saved = record.artifacts.get("model")
            model = saved and load_checkpoint(settings.results_dir / saved)
        return record, model

    return run_with


@pytest.mark.parametrize("infinite_from", [SIDE, SIDE // 2, 0], ids=["none", "half", "all"])
def test_a_model_with_infinite_maps_is_evaluated_drawn_and_saved(run, infinite_from):
    record, model = run(infinite_from)
    assert record.status == "ok", record.error
    assert record.metrics["score"]["image_auroc"] is not None
    assert {"errors.score", "panels"} <= record.artifacts.keys()
    calibration = model.metadata.calibrations[""]["score"]
    assert calibration.map_range_of == "held-out normal images"
    low, high = calibration.map_range
    assert math.isfinite(high - low)
    assert 0 <= low < high


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ValueError("no such formula"), "crash"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk"),
        (MemoryError("no room for a picture"), "oom"),
    ],
)
def test_a_case_whose_picture_fails_keeps_its_metrics_and_says_why(
    run, monkeypatch, error, outcome
):
    def failing(*_, **__):
        raise error

    monkeypatch.setattr(plots, "plot_errors", failing)
    record, model = run()
    assert (record.status, record.outcome) == ("failed", outcome)
    assert record.metrics["score"]["image_auroc"] is not None
    assert str(error) in record.error["message"]
    assert "plot_errors" in record.error["traceback"]
    assert model is None
