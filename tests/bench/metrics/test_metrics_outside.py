"""A metric from outside that cannot be computed costs its own cell alone."""

import math

import pytest
import torch

from bench.metrics import catalog
from bench.metrics.catalog import Metric, register_metric
from bench.metrics.evaluation import compute_metrics
from bench.metrics.image import ImageInputs


def test_a_raising_metric_is_nan_with_its_reason(monkeypatch):
    monkeypatch.setattr(catalog, "METRICS", dict(catalog.METRICS))
    register_metric(Metric("broken", "Broken", "image", lambda inputs: 1 / 0))
    values = compute_metrics(ImageInputs(torch.tensor([0.1, 0.9]), torch.tensor([0, 1])))
    assert math.isnan(values.metrics["broken"])
    assert "ZeroDivisionError" in values.reasons["broken"]
    assert values.metrics["image_auroc"] == 1.0


def test_an_unknown_level_is_refused():
    with pytest.raises(ValueError, match="level"):
        register_metric(Metric("wrong_level", "Wrong", "images", len))
