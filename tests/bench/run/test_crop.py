"""Models that crop: ranked over the full frame, with the crop's domain as a separate head."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from training_reports import quiet
from written_images import save_image

from bench.case import Case
from bench.run.anomaly import AnomalyTask
from bench.run.crop import cut_away, paste
from bench.run.device_data import DeviceData
from bench.run.inputs import Finder
from bench.run.predict import HeadPredictions
from bench.settings import Settings
from datasets_lib.discover import find_datasets

SIDE, CROP = 64, 32
EDGE = (SIDE - CROP) // 2


def write(root, places):
    """Write six normal images and one defective image per place of its 8 px square."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 6)):
        for image in range(count):
            save_image(root / split / "good" / f"{image}.png", rng.integers(0, 90, (SIDE, SIDE, 3)))
    for image, (top, left) in enumerate(places):
        pixels = rng.integers(0, 90, (SIDE, SIDE, 3))
        mask = np.zeros((SIDE, SIDE))
        mask[top : top + 8, left : left + 8] = 255
        pixels[mask > 0] = 250
        save_image(root / "test" / "spot" / f"{image}.png", pixels)
        save_image(root / "ground_truth" / "spot" / f"{image}_mask.png", mask)


@pytest.fixture
def evaluate(tmp_path):
    """Evaluate made-up maps of a case with a crop, on images whose defects lie at the places."""

    def evaluate(places, crop=CROP):
        write(tmp_path / "data" / "tiny" / "tile", places)
        settings = Settings(
            "smoke", "cpu", (tmp_path / "data",), (), tmp_path, tmp_path / "cache", image_size=SIDE
        )
        case = Case("dfm_resnet18", "baseline", "tiny", "tile", "default", False, 0)
        job = Finder(settings, find_datasets(settings.data_dirs)).job(case)
        job = replace(job, protocol=replace(job.protocol, crop=crop))
        task = AnomalyTask(job, torch.device("cpu"), DeviceData(), quiet)
        task.load()
        test = task.data.test
        draw = torch.Generator().manual_seed(1)
        maps = torch.rand(len(test), *test.images.shape[-2:], generator=draw) + test.masks.float()
        scores = maps.amax((1, 2))
        result = {"score": HeadPredictions(scores, maps)}
        held_out = {"score": HeadPredictions(torch.rand(3), None)}
        return task, maps, task.evaluate({"test": result, "calibration": held_out}, None)

    return evaluate


INSIDE, OUTSIDE, CUT = (30, 30), (2, 2), (EDGE - 4, 30)


@pytest.mark.parametrize(
    ("places", "lost"),
    [([INSIDE, CUT], 0), ([INSIDE, OUTSIDE, CUT], 1), ([INSIDE, OUTSIDE] * 2, 2)],
)
def test_full_frame_ranks_and_the_crop_is_a_second_head(evaluate, places, lost):
    task, maps, evaluation = evaluate(places)
    assert evaluation.fingerprints["defects_cut_away"] == lost
    assert set(evaluation.metrics) == {"score", "score_crop"}
    masks = task.data.frame_masks.numpy()
    frame = np.full(masks.shape, maps.min().item(), np.float32)
    frame[:, EDGE : EDGE + CROP, EDGE : EDGE + CROP] = maps.numpy()
    whole, crop = evaluation.metrics["score"], evaluation.metrics["score_crop"]
    assert whole["pixel_auroc"] == pytest.approx(roc_auc_score(masks.ravel(), frame.ravel()))
    assert whole["pixel_ap"] == pytest.approx(
        average_precision_score(masks.ravel(), frame.ravel()), abs=1e-9
    )
    test = task.data.test
    labels, scores = test.labels.numpy(), maps.amax((1, 2)).numpy()
    assert whole["image_auroc"] == pytest.approx(roc_auc_score(labels, scores))
    shown = ~labels | test.masks.flatten(1).any(1).numpy()
    inside = test.masks.numpy()[shown]
    assert crop["pixel_auroc"] == pytest.approx(
        roc_auc_score(inside.ravel(), maps.numpy()[shown].ravel())
    )
    assert crop["image_auroc"] == pytest.approx(roc_auc_score(labels[shown], scores[shown]))
    note = evaluation.notes.get("score.image_auroc", "")
    assert (f"{lost} of {len(places)} defective images" in note) == bool(lost)


def test_without_a_crop_there_is_one_head(evaluate):
    _, _, evaluation = evaluate([INSIDE, OUTSIDE], crop=None)
    assert set(evaluation.metrics) == {"score"}
    assert "defects_cut_away" not in evaluation.fingerprints


@pytest.mark.parametrize(("crop", "side"), [(2, 4), (3, 6), (3, 4), (224, 256)])
def test_pasted_maps_lie_where_the_images_were_cropped(crop, side):
    frame = torch.arange(float(side * side)).reshape(1, side, side)
    begin = (side - crop) // 2
    maps = frame[:, begin : begin + crop, begin : begin + crop]
    pasted = paste({"score": HeadPredictions(torch.zeros(1), maps)}, side)["score"].maps
    assert pasted.shape == (1, side, side)
    same = pasted == frame
    assert int(same.sum()) == crop * crop
    assert float(pasted[~same].max()) == float(maps.min()) or side == crop


def test_a_defect_is_cut_away_only_if_none_of_its_pixels_is_left():
    frame = torch.zeros(4, 4, 4, dtype=torch.bool)
    frame[1, 0, 0] = frame[2, 0:2, 0:2] = frame[3, 1, 1] = True
    crop = frame[:, 1:3, 1:3]
    assert cut_away(crop, frame).tolist() == [False, True, False, False]
