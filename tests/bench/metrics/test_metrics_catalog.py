"""The catalog of metrics: registration, direction, and metrics from outside."""

import math

import pytest
import torch

from bench.metrics import catalog
from bench.metrics.catalog import (
    METRICS,
    Metric,
    UndefinedMetricError,
    Value,
    metric_named,
    metrics_of,
    register_metric,
)
from bench.metrics.evaluation import compute_metrics
from bench.metrics.image import ImageInputs

INPUTS = ImageInputs(torch.tensor([0.1, 0.6, 0.4, 0.9]), torch.tensor([0, 0, 1, 1]))


@pytest.fixture
def registry(monkeypatch):
    """A separate catalog for the test."""
    own = dict(METRICS)
    monkeypatch.setattr(catalog, "METRICS", own)
    return own


def test_every_registered_function_exists_and_headings_differ():
    assert all(callable(metric.compute) for metric in METRICS.values())
    headings = [metric.heading for metric in METRICS.values()]
    assert len(set(headings)) == len(headings)
    for metric in METRICS.values():
        assert metric.sees_test_labels == ("test-chosen" in metric.heading)


@pytest.mark.parametrize("higher", [True, False])
def test_best_values_follow_the_direction(higher):
    metric = Metric("name", "Name", "image", lambda inputs: 0.0, higher_is_better=higher)
    values = [0.2, None, 0.7, math.nan, 0.5]
    assert metric.best(values) == (0.7 if higher else 0.2)
    assert metric.better(0.7, 0.2) == higher
    assert metric.better(0.2, None)
    assert not metric.better(None, math.nan)
    assert metric.best([None, math.nan]) is None


def test_units_decide_how_a_value_is_shown():
    assert Metric("a", "A", "image", "m:f", digits=1).text(0.1234) == "12.3"
    assert Metric("b", "B", "image", "m:f", unit="ms").text(0.1234) == "0.12"


def test_an_outside_metric_is_computed_with_value_note_or_reason(registry):
    def undefined(inputs):
        raise UndefinedMetricError("never")

    for name, function in (
        ("plain", lambda inputs: float(inputs.scores.max())),
        ("noted", lambda inputs: Value(0.5, "halved")),
        ("undefined", undefined),
        ("broken", lambda inputs: math.nan),
    ):
        register_metric(Metric(name, name.title(), "image", function))
    register_metric(Metric("absent", "Absent", "image", undefined, requires="nothing"))
    values = compute_metrics(INPUTS)
    assert list(values.metrics)[-4:] == ["plain", "noted", "undefined", "broken"]
    assert values.metrics["plain"] == pytest.approx(0.9)
    assert (values.metrics["noted"], values.notes["noted"]) == (0.5, "halved")
    assert values.reasons["undefined"] == "never"
    assert "nan" in values.reasons["broken"]
    assert values.metrics["image_auroc"] == 0.75


def test_a_taken_name_and_an_unknown_one_are_errors(registry):
    with pytest.raises(ValueError, match="second 'top1'"):
        register_metric(Metric("top1", "Other", "class", "m:f"))
    with pytest.raises(KeyError, match="image_auroc"):
        metric_named("imge_auroc")
    assert metric_named("ece").level == "class"
    assert {metric.task for metric in metrics_of("image", "pixel")} == {"anomaly"}
