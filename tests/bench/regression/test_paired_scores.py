"""Two runs on the same images are paired by the scores and maps that they stored."""

import numpy as np
import pytest
import torch
from fake_records import make
from sklearn.metrics import roc_auc_score

from bench.metrics.catalog import METRICS
from bench.metrics.pixel_jackknife import JACKKNIFED
from bench.regression.fresh import FreshRun
from bench.regression.paired_scores import paired_finding
from bench.run.kept_predictions import write_maps, write_scores
from bench.run.predict import HeadPredictions
from datasets_lib.batches.image_set import ImageSet

NAMES = tuple(f"{number:02}.png" for number in range(24))
LABELS = torch.arange(24) % 2
MASKS = torch.zeros(24, 16, 16, dtype=torch.bool)
MASKS[1::2, 4:9, 5:12] = True
"""Every other image has a defect."""


@pytest.fixture
def run(tmp_path):
    """Store a run whose maps stand out by some height in defects, plus noise of a seed."""

    def stored(height, seed=0, masks=MASKS):
        noise = torch.randn(MASKS.shape, generator=torch.Generator().manual_seed(seed))
        maps = noise + height * MASKS
        folder = tmp_path / f"{height}-{seed}-{int(masks.sum())}"
        folder.mkdir(exist_ok=True)
        found = {"score": HeadPredictions(maps.amax((1, 2)), maps)}
        test = ImageSet(torch.zeros(24, 3, 1, 1), LABELS.bool(), None, NAMES, (None,) * 24)
        write_scores(folder / "scores.npz", test, found, (), {})
        write_maps(folder / "maps.npz", NAMES, found, {}, masks)
        record = make("dfm_resnet18", artifacts={"scores": "scores.npz", "maps": "maps.npz"})
        return FreshRun(record, "", folder), maps

    return stored


def test_every_pixel_metric_that_can_be_paired_is_in_the_catalog():
    assert set(JACKKNIFED) <= set(METRICS)


@pytest.mark.parametrize("metric", JACKKNIFED)
def test_equal_maps_are_ok_and_a_large_loss_is_a_regression(run, metric):
    (one, _), (other, _), (worse, _) = run(1.5), run(1.5), run(0.5, seed=1)
    assert paired_finding(f"score.{metric}", one, other).outcome == "ok"
    found = paired_finding(f"score.{metric}", one, worse)
    assert found.outcome == "regressed"
    assert found.p < 1e-3
    assert 0 < found.low < found.drop < found.high
    assert paired_finding(f"score.{metric}", worse, one).outcome == "improved"


def test_the_drop_is_that_of_the_metric(run):
    (one, maps), (worse, lower) = run(1.5), run(1.4, seed=2)
    aurocs = [roc_auc_score(MASKS.flatten(), each.flatten()) for each in (maps, lower)]
    found = paired_finding("score.pixel_auroc", one, worse)
    assert found.drop == pytest.approx(aurocs[0] - aurocs[1], abs=1e-4)


def test_a_loss_that_other_images_need_not_share_is_a_change(run):
    """Three defects are lost and none else: p is above one in a thousand."""
    (one, maps), lost = run(2.0), torch.ones(24)
    lost[[1, 3, 5]] = 0
    noise = maps - 2.0 * MASKS
    changed = noise + 2.0 * MASKS * lost[:, None, None]
    (other, _) = run(2.0, seed=9)
    write_maps(
        other.folder / "maps.npz", NAMES, {"score": HeadPredictions(lost, changed)}, {}, MASKS
    )
    found = paired_finding("score.pixel_auroc", one, other)
    assert found.drop > 0.02
    assert found.p > 1e-3
    assert found.outcome == "changed"


def test_other_masks_have_no_test(run):
    (one, _), (other, _) = run(1.0), run(0.5, masks=MASKS.roll(1, 1))
    assert paired_finding("score.pixel_auroc", one, other) is None


def test_a_single_image_with_a_defect_has_no_test(run):
    masks = MASKS.clone()
    masks[2:] = False
    (one, _), (other, _) = run(1.0, masks=masks), run(0.5, masks=masks)
    assert paired_finding("score.pixel_auroc", one, other) is None


def test_without_maps_there_is_no_test(run):
    (one, _), (other, _) = run(1.0), run(0.5)
    (other.folder / "maps.npz").unlink()
    assert paired_finding("score.pixel_auroc", one, other) is None
    assert np.isfinite(paired_finding("score.image_auroc", one, other).p)
