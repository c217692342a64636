"""All metrics of a prediction: correct where they exist, otherwise nan with a reason."""

import math

import numpy as np
import pytest
import torch
from brute_force import area_up_to, components, overlap_curve
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    jaccard_score,
    precision_recall_curve,
    precision_score,
    recall_score,
    roc_auc_score,
)

from bench.metrics.catalog import METRICS, metrics_of
from bench.metrics.evaluation import anomaly_metrics, compute_metrics
from bench.metrics.pixels import PixelInputs, SaturatedRegions, _rounded_up
from bench.metrics.regions import label_regions

LIMITS = {"aupro_30": 0.3, "aupro_05": 0.05, "aupro_01": 0.01}
PIXEL_METRICS = [metric.name for metric in metrics_of("pixel") if not metric.requires]

CALIBRATED = {"accuracy", "precision", "recall", "f1", "false_alarms"}
BEST = {"accuracy_best_f1", "precision_best_f1", "recall_best_f1", "f1_best", "pixel_f1_best"}


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


@pytest.fixture
def normal_maps():
    return torch.from_numpy(np.random.default_rng(1).normal(25, 3, (20, 16, 16))).float()


def best_f1(labels, scores):
    precision, recall, _ = precision_recall_curve(labels, scores)
    return (2 * precision * recall / (precision + recall)).max()


def tensors(*arrays):
    return [torch.from_numpy(array) for array in arrays]


def values_of(result):
    return {threshold.name: threshold.value for threshold in result.thresholds}


def test_every_metric_is_scikit_learns(judged, normal_maps):
    scores, maps, labels, masks, calibration = judged
    result = anomaly_metrics(*tensors(*judged), normal_maps)
    honest = np.sort(calibration)[20 - 1]  # ⌈21 · .95⌉ = 20
    strict = normal_maps.amax((1, 2)).max().item()
    curve = overlap_curve(np.round(maps, 1), components(masks))
    expected = {
        "image_auroc": roc_auc_score(labels, scores),
        "image_ap": average_precision_score(labels, scores),
        "pixel_auroc": roc_auc_score(masks.ravel(), maps.ravel()),
        "pixel_ap": average_precision_score(masks.ravel(), maps.ravel()),
        "pixel_f1_best": best_f1(masks.ravel(), maps.ravel()),
        "iou_calibrated": jaccard_score(masks.ravel(), maps.ravel() > strict),
        "accuracy": accuracy_score(labels, scores > honest),
        "precision": precision_score(labels, scores > honest),
        "recall": recall_score(labels, scores > honest),
        "f1": f1_score(labels, scores > honest),
        "false_alarms": (scores[~labels] > honest).mean(),
        "f1_best": best_f1(labels, scores),
    }
    assert {name: result.metrics[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    thresholds = values_of(result)
    flagged = scores > thresholds["best_f1"]
    at_best = {
        "accuracy_best_f1": accuracy_score(labels, flagged),
        "precision_best_f1": precision_score(labels, flagged),
        "recall_best_f1": recall_score(labels, flagged),
    }
    assert {name: result.metrics[name] for name in at_best} == pytest.approx(at_best)
    assert thresholds["calibrated_p95"] == pytest.approx(honest, rel=1e-6)
    assert thresholds["pixel_calibrated_p95"] == pytest.approx(strict, rel=1e-6)
    # The definition is slow: rounding the maps to a tenth leaves few thresholds and moves little.
    for name, limit in LIMITS.items():
        assert result.metrics[name] == pytest.approx(area_up_to(*curve, limit), abs=0.01)
    assert set(result.metrics) == set(expected) | set(at_best) | set(PIXEL_METRICS)
    # 25 normal maps of 16² pixels cannot show a false-positive rate of 1e-5.
    assert set(result.reasons) == {"aupimo"}
    assert "there are 6,400" in result.reasons["aupimo"]
    assert result.notes == {}


def test_what_sees_test_labels_is_marked(judged):
    scores, maps, labels, masks, calibration = tensors(*judged)
    flipped = anomaly_metrics(scores, maps, ~labels, ~masks, calibration, maps)
    result = anomaly_metrics(scores, maps, labels, masks, calibration, maps)
    other = values_of(flipped)
    moved = {name for name, value in values_of(result).items() if other[name] != value}
    assert moved == {each.name for each in result.thresholds if each.sees_test_labels}
    assert {name for name in result.metrics if METRICS[name].sees_test_labels} == BEST


def test_calibrated_metrics_are_undefined_without_calibration_split(judged):
    scores, maps, labels, masks, _ = tensors(*judged)
    for calibration in (None, torch.zeros(0)):
        empty = None if calibration is None else maps[:0]
        result = anomaly_metrics(scores, maps, labels, masks, calibration, empty)
        del result.reasons["aupimo"]
        reasons = dict.fromkeys(CALIBRATED, "no calibration split")
        assert result.reasons == reasons | {"iou_calibrated": "no calibration maps"}
        missing = {name for name, value in result.metrics.items() if math.isnan(value)}
        assert missing == {*result.reasons, "aupimo"}
        assert math.isnan(values_of(result)["calibrated_p95"])
        assert "pixel_calibrated_p95" not in values_of(result)


def test_pixel_metrics_are_undefined_without_maps_or_masks(judged):
    scores, maps, labels, masks, calibration = tensors(*judged)

    def reasons(maps, masks):
        result = anomaly_metrics(scores, maps, labels, masks, calibration, maps)
        assert {name for name in result.metrics if math.isnan(result.metrics[name])} == set(
            result.reasons
        )
        return result.reasons

    assert reasons(None, masks) == dict.fromkeys(PIXEL_METRICS, "the model gives no maps")
    assert reasons(maps, None) == dict.fromkeys(PIXEL_METRICS, "the dataset has no masks")
    empty = dict.fromkeys(PIXEL_METRICS, "one class only: no pixel is defective")
    assert reasons(maps, torch.zeros_like(masks)) == empty | {"aupimo": "no pixel is defective"}
    full = reasons(maps, torch.ones_like(masks))
    assert full.pop("aupimo").endswith("there are 0")
    assert full == dict.fromkeys(
        set(PIXEL_METRICS) - {"aupimo", "iou_calibrated"},
        "one class only: every pixel is defective",
    )


def test_known_regions_are_not_labeled_again(judged, monkeypatch):
    scores, maps, labels, masks, calibration = tensors(*judged)
    labeled = anomaly_metrics(scores, maps, labels, masks, calibration, maps)
    regions = label_regions(masks)
    monkeypatch.setattr("bench.metrics.evaluation.label_regions", None)
    given = anomaly_metrics(scores, maps, labels, None, calibration, maps, regions)
    for name, value in labeled.metrics.items():
        assert given.metrics[name] == pytest.approx(value, abs=0, nan_ok=True)


@pytest.mark.parametrize("asked", [True, False])
def test_the_histogram_is_near_and_says_so(judged, monkeypatch, asked):
    """It is used when asked for, and when memory is too small."""
    scores, maps, labels, masks, calibration = tensors(*judged)
    exact = anomaly_metrics(scores, maps, labels, masks, calibration, maps)
    if not asked:
        monkeypatch.setattr("bench.metrics.pixels.fits", lambda maps, regions: False)
    method = "histogram" if asked else "exact"
    binned = anomaly_metrics(scores, maps, labels, masks, calibration, maps, method=method)
    ranked = set(PIXEL_METRICS) - {"aupimo", "iou_calibrated"}
    assert set(binned.notes) == ranked
    for name, value in exact.metrics.items():
        error = float(binned.notes[name].split("≤ ")[1]) if name in ranked else 0
        assert binned.metrics[name] == pytest.approx(value, abs=error, nan_ok=True)
    assert binned.reasons.keys() == exact.reasons.keys()


def test_aupimo_of_both_methods():
    """Its normal images are those with an empty mask, whatever the label says."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(4, 230, 230, generator=generator)
    masks = torch.zeros(4, 230, 230).bool()
    masks[3, 50:60, 50:90] = masks[1, 5:9, 5:9] = True
    maps += 4 * masks
    regions = label_regions(masks)
    exact = compute_metrics(PixelInputs(maps, regions))
    binned = compute_metrics(PixelInputs(maps, regions, method="histogram"))
    assert 0.1 < exact.metrics["aupimo"] < 0.9
    assert binned.metrics["aupimo"] == pytest.approx(exact.metrics["aupimo"], abs=1e-3)
    assert set(binned.notes) == set(PIXEL_METRICS) - {"iou_calibrated"}


@pytest.mark.parametrize("method", ["exact", "histogram"])
def test_defects_of_minus_infinity_cannot_be_flagged(method):
    maps, masks = torch.zeros(1, 2, 3), torch.tensor([[[1, 0, 0], [0, 0, 0]]])
    maps[0, 0, 0] = -math.inf
    result = compute_metrics(PixelInputs(maps, label_regions(masks), maps, method))
    assert "which no threshold flags" in result.reasons["pixel_f1_best"]
    assert result.metrics["pixel_auroc"] == 0
    assert result.metrics["iou_calibrated"] == 0


@pytest.mark.parametrize("defective", [False, True])
def test_one_class_only_is_nan_with_its_reason(defective):
    labels = torch.full((5,), defective)
    result = anomaly_metrics(torch.arange(5.0), None, labels, None, torch.arange(3.0))
    missing = {name for name, value in result.metrics.items() if math.isnan(value)}
    assert missing == set(result.reasons)
    assert missing >= BEST | {"image_auroc", "pixel_auroc"}
    assert "one class only" in result.reasons["image_auroc"]
    # 3 and 4 lie above the largest of 0, 1, 2.
    assert result.metrics["accuracy"] == (0.4 if defective else 0.6)
    if not defective:
        assert missing >= {"precision", "recall", "f1"}


def test_a_nan_score_is_an_error(judged):
    scores, maps, labels, masks, calibration = tensors(*judged)
    scores[3] = math.nan
    with pytest.raises(ValueError, match="1 of 60 scores are NaN"):
        anomaly_metrics(scores, maps, labels, masks, calibration)


@given(st.floats(1e-12, 1))
def test_a_bound_is_rounded_up(bound):
    shown = _rounded_up(bound)
    assert float(shown) >= bound
    assert float(shown) <= bound * 1.1000001
    assert len(shown.partition("e")[0]) == 3


def test_saturated_overlap_applies_only_with_saturations():
    masks = torch.zeros(2, 4, 6).bool()
    masks[1, 1:3, 1:5] = True
    regions = label_regions(masks)
    scores, labels = torch.tensor([0.0, 1]), torch.tensor([0, 1])

    def evaluated(maps, saturated):
        given = {"regions": regions, "saturated": saturated}
        return anomaly_metrics(scores, maps, labels, None, None, **given)

    maps = masks.float() * torch.rand(2, 4, 6).add(1)
    saturated = SaturatedRegions(regions, regions.sizes / 2)
    assert evaluated(maps, saturated).metrics["auspro_30"] == 1
    assert not {"auspro_30", "auspro_05"} & set(evaluated(maps, None).metrics)
    assert "auspro_30" not in evaluated(None, saturated).metrics
    nothing = label_regions(torch.zeros(2, 4, 6).bool())
    empty = evaluated(maps, SaturatedRegions(nothing, nothing.sizes.double()))
    assert "no defective pixel" in empty.reasons["auspro_05"]


def test_no_images_at_all():
    result = anomaly_metrics(torch.zeros(0), None, torch.zeros(0).bool(), None, torch.ones(2))
    assert set(result.metrics) == set(result.reasons)
    assert all(math.isnan(value) for value in result.metrics.values())
