"""An external metric that cannot be computed costs only its own cell."""

import math

import pytest
import torch

from bench.metrics import catalog
from bench.metrics.catalog import Metric, register_metric
from bench.metrics.evaluation import compute_metrics
from bench.metrics.image import ImageInputs


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda inputs: 1 / 0, "ZeroDivisionError"),
        (lambda inputs: None, "TypeError"),
        (lambda inputs: inputs.scores, "one element"),
        (lambda inputs: "high", "ValueError"),
        (lambda inputs: float("nan"), "returned nan"),
        (lambda inputs: float("inf"), "returned inf"),
    ],
)
def test_a_metric_without_a_number_is_nan_with_its_reason(monkeypatch, function, said):
    monkeypatch.setattr(catalog, "METRICS", dict(catalog.METRICS))
    register_metric(Metric("broken", "Broken", "image", function))
    values = compute_metrics(ImageInputs(torch.tensor([0.1, 0.9]), torch.tensor([0, 1])))
    assert not math.isfinite(values.metrics["broken"])
    assert said in values.reasons["broken"]
    assert values.metrics["image_auroc"] == 1.0


def test_a_name_that_is_no_key_is_refused():
    with pytest.raises(ValueError, match="lower-case"):
        register_metric(Metric("My metric", "My metric", "image", len))


def test_an_unknown_level_is_refused():
    with pytest.raises(ValueError, match="level"):
        register_metric(Metric("wrong_level", "Wrong", "images", len))
