"""All figures of a prediction: right where they exist, nan with a reason where not."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    precision_recall_curve,
    precision_score,
    recall_score,
    roc_auc_score,
)

from bench.metrics import SEES_TEST_LABELS
from bench.metrics.anomaly import evaluate

CALIBRATED = {"accuracy", "precision", "recall", "f1"}
BEST = {"accuracy_best_f1", "precision_best_f1", "recall_best_f1", "f1_best"}


@pytest.fixture
def judged():
    rng = np.random.default_rng(0)
    labels = np.arange(60) >= 25
    masks = np.zeros((60, 16, 16), dtype=bool)
    masks[labels, 4:9, 2:12] = True
    maps = (rng.normal(25, 4, masks.shape) + 5 * masks).astype(np.float32)
    scores = maps.max(axis=(1, 2)) + rng.normal(0, 2, 60).astype(np.float32)
    calibration = rng.normal(scores[~labels].mean(), 2, 20).astype(np.float32)
    return scores, maps, labels, masks, calibration


def tensors(*arrays):
    return [torch.from_numpy(array) for array in arrays]


def test_every_figure_is_scikit_learns(judged):
    scores, maps, labels, masks, calibration = judged
    result = evaluate(*tensors(*judged))
    honest = np.percentile(calibration.astype(np.float64), 95)
    precision, recall, _ = precision_recall_curve(labels, scores)
    expected = {
        "image_auroc": roc_auc_score(labels, scores),
        "pixel_auroc": roc_auc_score(masks.ravel(), maps.ravel()),
        "accuracy": accuracy_score(labels, scores > honest),
        "precision": precision_score(labels, scores > honest),
        "recall": recall_score(labels, scores > honest),
        "f1": f1_score(labels, scores > honest),
        "f1_best": (2 * precision * recall / (precision + recall)).max(),
    }
    assert {name: result.metrics[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    flagged = scores > result.thresholds["best_f1"]
    at_best = {
        "accuracy_best_f1": accuracy_score(labels, flagged),
        "precision_best_f1": precision_score(labels, flagged),
        "recall_best_f1": recall_score(labels, flagged),
    }
    assert {name: result.metrics[name] for name in at_best} == pytest.approx(at_best)
    assert result.thresholds["calibrated_p95"] == pytest.approx(honest, rel=1e-6)
    assert set(result.metrics) == set(expected) | set(at_best)
    assert result.reasons == {}


def test_what_sees_test_labels_is_marked(judged):
    result = evaluate(*tensors(*judged))
    scores, maps, labels, masks, calibration = tensors(*judged)
    flipped = evaluate(scores, maps, ~labels, masks, calibration)
    moved = {name for name, value in result.thresholds.items() if flipped.thresholds[name] != value}
    assert moved == {"best_f1"}
    assert BEST | moved == SEES_TEST_LABELS


def test_without_calibration_split_the_honest_figures_are_empty(judged):
    scores, maps, labels, masks, _ = tensors(*judged)
    for calibration in (None, torch.zeros(0)):
        result = evaluate(scores, maps, labels, masks, calibration)
        assert {n for n, v in result.metrics.items() if math.isnan(v)} == CALIBRATED
        assert result.reasons == dict.fromkeys(CALIBRATED, "no calibration split")
        assert math.isnan(result.thresholds["calibrated_p95"])


def test_without_maps_or_masks_there_is_no_pixel_figure(judged):
    scores, maps, labels, masks, calibration = tensors(*judged)
    no_maps = evaluate(scores, None, labels, masks, calibration)
    assert no_maps.reasons == {"pixel_auroc": "the model gives no maps"}
    no_masks = evaluate(scores, maps, labels, None, calibration)
    assert no_masks.reasons == {"pixel_auroc": "the dataset has no masks"}
    empty = evaluate(scores, maps, labels, torch.zeros_like(masks), calibration)
    assert empty.reasons == {"pixel_auroc": "one class only: no pixel is defective"}
    full = evaluate(scores, maps, labels, torch.ones_like(masks), calibration)
    assert full.reasons == {"pixel_auroc": "one class only: every pixel is defective"}
    for result in (no_maps, no_masks, empty, full):
        assert math.isnan(result.metrics["pixel_auroc"])


@pytest.mark.parametrize("defective", [False, True])
def test_one_class_only_is_nan_with_its_reason(defective):
    labels = torch.full((5,), defective)
    result = evaluate(torch.arange(5.0), None, labels, None, torch.arange(3.0))
    missing = {name for name, value in result.metrics.items() if math.isnan(value)}
    assert missing == set(result.reasons)
    assert missing >= BEST | {"image_auroc", "pixel_auroc"}
    assert "one class only" in result.reasons["image_auroc"]
    # 3 and 4 lie above the 95th percentile of 0, 1, 2, which is 1.9; so does 2.
    assert result.metrics["accuracy"] == (0.6 if defective else 0.4)
    if not defective:
        assert missing >= {"precision", "recall", "f1"}


def test_no_images_at_all():
    result = evaluate(torch.zeros(0), None, torch.zeros(0).bool(), None, torch.ones(2))
    assert set(result.metrics) == set(result.reasons)
    assert all(math.isnan(value) for value in result.metrics.values())


def test_a_nan_score_is_an_error(judged):
    scores, maps, labels, masks, calibration = tensors(*judged)
    scores[3] = math.nan
    with pytest.raises(ValueError, match="1 of 60 scores are NaN"):
        evaluate(scores, maps, labels, masks, calibration)


def test_masks_of_another_size_are_an_error(judged):
    scores, maps, labels, masks, calibration = tensors(*judged)
    with pytest.raises(ValueError, match="one label for each score"):
        evaluate(scores, maps, labels, masks[:, ::2, ::2], calibration)
