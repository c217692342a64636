"""Evaluation of an anomaly case: no number is missing without a reason."""

import math

import pytest
import torch
from scipy.stats import rankdata

from bench.case import Case
from bench.metrics.pixels import SaturatedRegions
from bench.metrics.regions import label_regions
from bench.record import Key, Record, from_json
from bench.run.anomaly_evaluation import evaluate_heads
from bench.run.predict import HeadPredictions
from datasets_lib.batches.image_set import ImageSet


def image_set(defects, masks=True):
    side = 8
    shown = torch.zeros(len(defects), side, side, dtype=torch.bool)
    for place, kind in enumerate(defects):
        shown[place, 2:5, 2:5] = masks and kind is not None
    return ImageSet(
        images=torch.zeros(len(defects), 3, side, side, dtype=torch.uint8),
        masks=shown if masks else None,
        labels=torch.tensor([kind is not None for kind in defects]),
        names=tuple(map(str, range(len(defects)))),
        defects=tuple(defects),
    )


def noted(defects, scores, *, calibration=None, masks=True, saturated=None, method="exact"):
    """Return a record as it is read back."""
    test = image_set(defects, masks)
    maps = torch.rand(len(defects), 8, 8) if masks else None
    held_out = {"head": HeadPredictions(calibration, None)} if calibration is not None else None
    regions = None
    if masks:
        regions = label_regions(test.masks)
    predictions = {"head": HeadPredictions(scores, maps)}
    evaluation = evaluate_heads(test, predictions, held_out, regions, method, saturated)
    case = Case("model", "baseline", "data", None, "default", False, 0)
    record = Record(Key("id", "original", "", "", ""), case, "ok", "ok", **vars(evaluation))
    return from_json(record.to_json())


def missing(record):
    """Names, as under ``reasons``, of all numbers that are null."""
    parts = {
        "": record.metrics,
        "threshold.": record.thresholds,
        "kind.": record.kinds,
        "size.": record.sizes,
        "interval.": record.intervals,
    }
    return {
        f"{head}.{part}{name}"
        for part, by_head in parts.items()
        for head, values in by_head.items()
        for name, value in values.items()
        if value in (None, [None, None])
    }


NO_REGIONS = label_regions(torch.zeros(4, 8, 8).bool())
NOTHING = SaturatedRegions(NO_REGIONS, torch.zeros(0))
MIXED = [None] * 10 + ["scratch"] * 6 + ["hole"] * 4
SCORES = torch.linspace(0, 1, 20)[torch.randperm(20, generator=torch.Generator().manual_seed(0))]


@pytest.mark.parametrize(
    ("defects", "scores", "options"),
    [
        (MIXED, SCORES, {}),
        (MIXED, SCORES, {"calibration": torch.rand(5)}),
        (MIXED, SCORES, {"calibration": torch.full((5,), math.inf)}),
        (MIXED, SCORES, {"masks": False}),
        (["scratch"] * 4, SCORES[:4], {}),
        ([None] * 4, SCORES[:4], {"saturated": NOTHING}),
        ([None, None, "hole"], SCORES[:3], {}),
        (MIXED, torch.ones(20), {}),
        (MIXED, SCORES, {"method": "histogram"}),
    ],
)
def test_every_missing_number_has_its_reason_and_no_other_has(defects, scores, options):
    record = noted(defects, scores, **options)
    assert missing(record) == set(record.reasons)
    assert all(record.reasons.values())


def test_without_calibration_the_record_says_so():
    record = noted(MIXED, SCORES)
    for name in ("threshold.calibrated_p95", "threshold.sigma_3", "accuracy"):
        assert record.reasons[f"head.{name}"] == "no calibration split"


def test_thresholds_that_saw_test_labels_are_listed():
    record = noted(MIXED, SCORES, calibration=torch.rand(5))
    saw = set(record.fingerprints["thresholds_that_saw_test_labels"])
    assert set(record.thresholds["head"]) - saw == {"calibrated_p95", "sigma_3"}
    assert {"best_f1", "pixel_best_f1", "normal_p95"} <= saw


def test_an_interval_that_is_not_delongs_says_so():
    apart = torch.tensor([kind is not None for kind in MIXED]).float()
    record = noted(MIXED, apart + SCORES / 10)
    assert "10 disjoint pairs" in record.notes["head.image_auroc"]
    low, high = record.intervals["head"]["image_auroc"]
    assert (low, high) == (pytest.approx(0.025**0.1), 1)
    assert "head.image_auroc" not in noted(MIXED, SCORES).notes


@pytest.mark.parametrize(
    ("count", "rate"), [(1, "50 %"), (3, "25 %"), (6, "14.3 %"), (18, "5.3 %"), (19, ""), (50, "")]
)
def test_a_threshold_of_few_images_says_the_rate_it_stands_for(count, rate):
    record = noted(MIXED, SCORES, calibration=torch.rand(count))
    note = record.notes.get("head.threshold.calibrated_p95", "")
    assert bool(note) == bool(rate)
    assert not rate or f"up to {rate} false alarms" in note
    assert "conformal" in record.fingerprints["calibrated_by"]


@pytest.mark.parametrize("vanished", [0, 1, 3])
def test_masks_that_vanish_at_the_size_of_evaluation_are_noted(vanished):
    test = image_set(MIXED)
    test.masks[10 : 10 + vanished] = False
    predictions = {"head": HeadPredictions(SCORES, torch.rand(20, 8, 8))}
    evaluation = evaluate_heads(test, predictions, None, label_regions(test.masks))
    note = evaluation.notes.get("head.aupro_30", "")
    assert (f"{vanished} of 10 defective images have an empty mask at 8 px" in note) == bool(
        vanished
    )


def test_kinds_are_aurocs_beside_the_normal_images():
    record = noted(MIXED, SCORES)
    some = torch.cat([SCORES[:10], SCORES[16:]]).numpy()
    ranks = rankdata(some)
    expected = (ranks[10:].sum() - 4 * 5 / 2) / 40
    assert record.kinds["head"]["hole"] == pytest.approx(expected)


def test_the_histogram_is_used_where_it_is_asked_for():
    assert "histogram" in noted(MIXED, SCORES, method="histogram").notes["head.pixel_auroc"]
    assert "head.pixel_auroc" not in noted(MIXED, SCORES).notes


@pytest.mark.slow
def test_a_session_without_calibration_and_with_histograms_says_both(
    session_options, run_session, store, tmp_path, write_category
):
    write_category(tmp_path / "data" / "tiny" / "tile")
    options = ["--images-seen", "8", "--image-size", "64", "--data-dir", str(tmp_path / "data")]
    options += ["--profile", "original", "--pixel-metrics", "histogram"]
    case = "rd_resnet18-tiny.tile-default-scratch-s0"
    run_session(*session_options, *options, "-k", case).assert_outcomes(passed=1)
    (record,) = store.records()
    assert missing(record) == set(record.reasons)
    assert record.reasons["single_scale.threshold.calibrated_p95"] == "no calibration split"
    assert "histogram" in record.notes["single_scale.pixel_auroc"]


def test_predictions_may_lie_where_numpy_cannot_read_them(monkeypatch):
    """On a GPU they stay there until they are written; here, refusing stands in for one."""

    def refuse(self, *arguments, **options):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    monkeypatch.setattr(torch.Tensor, "__array__", refuse)
    record = noted(MIXED, SCORES, calibration=torch.rand(5))
    assert record.outcomes["head"]["image_auroc"]
