"""What scores mean: shares of normal images, labels, regions."""

import numpy as np
import pytest
import torch
from saved_models import describe

from bench.checkpoint.metadata import Calibration, Preprocessing
from bench.metrics.regions import label_regions
from bench.metrics.thresholds import calibrated_threshold
from bench.predict.decision import (
    RuleError,
    Sensitivity,
    calibration_of,
    choose_rule,
    regions,
    score01,
)

OWN = Calibration(
    scores=(1.0, 2.0, 3.0, 4.0),
    peaks=(5.0, 6.0, 7.0, 8.0),
    thresholds={"calibrated_p95": 4.0, "sigma_3": 6.5, "pixel_calibrated_p95": 8.0},
    test_thresholds={"best_f1": 3.5, "pixel_best_f1": 7.5},
)


def test_rule_is_the_calibrated_one_unless_another_is_named():
    rule = choose_rule(OWN)
    assert (rule.threshold, rule.map_threshold) == (4.0, 8.0)
    assert rule.about == (
        "calibrated_p95 of 4 held-out normal images, the largest score: expect up to 20 % false "
        "alarms"
    )
    assert [rule.label(score) for score in (3.0, 4.0, 4.5)] == ["normal", "normal", "defective"]
    assert choose_rule(OWN, "sigma_3").threshold == 6.5
    assert choose_rule(OWN, "-2.5e1").threshold == -25
    chosen = choose_rule(OWN, "best_f1")
    assert (chosen.threshold, chosen.map_threshold) == (3.5, 7.5)
    assert "test labels" in chosen.about


def test_maps_have_a_threshold_without_masks_too():
    peaks = torch.arange(40.0)
    own = Calibration(OWN.scores, tuple(peaks.tolist()), {"calibrated_p95": 4.0})
    assert choose_rule(own).map_threshold == calibrated_threshold(peaks)
    assert choose_rule(own, "7").map_threshold == calibrated_threshold(peaks)
    assert choose_rule(Calibration(OWN.scores, (), own.thresholds)).map_threshold is None


@pytest.mark.parametrize("name", ["best_f2", "nan", "inf", "pixel_best_f1", ""])
def test_unknown_rules_are_named(name):
    if not name:
        assert choose_rule(OWN, name).threshold == 4.0
        return
    with pytest.raises(RuleError, match="best_f1, calibrated_p95, sigma_3"):
        choose_rule(OWN, name)


def test_without_held_out_images_nothing_has_a_label_or_a_share():
    own = Calibration(test_thresholds={"best_f1": 3.5})
    rule = choose_rule(own)
    assert (rule.threshold, rule.label(9.0), score01(own, 9.0)) == (None, None, None)
    assert "best_f1" in rule.about
    with pytest.raises(RuleError, match="held none out"):
        choose_rule(own, sensitivity=Sensitivity(0.9))


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.95, 0.99])
def test_sensitivity_is_the_conformal_quantile_stretched_from_the_median(quantile):
    scores = torch.randn(199, generator=torch.Generator().manual_seed(3)) - 5
    ascending = tuple(scores.sort().values.tolist())
    exact = calibrated_threshold(scores, quantile)
    assert Sensitivity(quantile).of(ascending) == pytest.approx(exact)
    wider = Sensitivity(quantile, 2.0).of(ascending)
    median = float(np.median(scores))
    assert wider - median == pytest.approx(2 * (exact - median))
    rule = choose_rule(OWN, sensitivity=Sensitivity(0.7))
    assert (rule.threshold, rule.map_threshold) == (4.0, 8.0)


def test_share_of_normal_images_below():
    shares = [score01(OWN, score) for score in (-1.0, 1.0, 2.5, 4.0, 1e9, float("inf"))]
    assert shares == [0, 0, 0.5, 0.75, 1, 1]


def test_head_and_category_are_asked_for_where_they_matter():
    one = describe("rd_resnet18", calibrations={"": {"multi_scale": OWN}})
    assert calibration_of(one, None, None) == OWN
    assert calibration_of(one, "single_scale", None) == Calibration()
    with pytest.raises(RuleError, match="multi_scale, single_scale"):
        calibration_of(one, "score", None)
    several = describe("padim_resnet18", calibrations={"nut": {"score": OWN}, "bolt": {}})
    assert calibration_of(several, None, "nut") == OWN
    for category in (None, "screw"):
        with pytest.raises(RuleError, match=r"--category.*nut, bolt"):
            calibration_of(several, None, category)


def test_regions_are_connected_components_in_pixels_of_the_image():
    rng = np.random.default_rng(5)
    square = rng.random((20, 20), np.float32)
    found = regions(square, 0.8, Preprocessing(20, 20), size=(20, 20))
    labeled = label_regions(torch.from_numpy(square > 0.8)[None])
    assert sorted(region["area"] for region in found) == sorted(labeled.sizes.tolist())
    assert [r["peak"] for r in found] == sorted((r["peak"] for r in found), reverse=True)
    assert found[0]["peak"] == square.max()


def test_regions_of_a_crop_lie_where_the_whole_image_has_them():
    values = np.zeros((16, 16), np.float32)
    values[2:4, 6:12] = 3
    values[4, 12] = 5  # touches only at a corner
    (found,) = regions(values, 1.0, Preprocessing(32, 32, (16, 16)), size=(320, 64))
    assert found == {"x": 140, "y": 20, "width": 70, "height": 6, "area": 260, "peak": 5.0}
    assert regions(values, 5.0, Preprocessing(32, 32, (16, 16)), size=(320, 64)) == []


@pytest.mark.parametrize("size", [(16, 16), (7, 50), (640, 3), (1, 1)])
def test_regions_of_images_smaller_than_the_frame_have_pixels_of_the_image(size):
    values = np.zeros((32, 32), np.float32)
    values[[0, 9, 31], [0, 20, 31]] = 1
    found = regions(values, 0.5, Preprocessing(32, 32), size=size)
    assert len(found) == 3
    for region in found:
        assert region["width"] >= 1 <= region["height"]
        assert region["area"] >= 1
        assert 0 <= region["x"] <= size[0] - region["width"]
        assert 0 <= region["y"] <= size[1] - region["height"]
