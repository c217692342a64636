"""Few-shot cases and models for all categories, in whole sessions."""

import shutil

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from bench.aggregate.modes import by_category
from bench.record import from_json

NAMES = ("nuts", "bolts", "pins")


def run(run_session, session_options, *more):
    options = ("--image-size", "64", "--no-pictures", "--no-measurements", *more)
    return run_session(*session_options, *options)


def test_few_shot_case_trains_on_its_images_and_has_a_table(
    run_session, session_options, store, tmp_path
):
    chosen = "surface and padim_resnet18 and scratch and few_shot"
    run(run_session, session_options, "-k", chosen, "--shots", "4,2").assert_outcomes(passed=2)
    two, four = sorted(store.records(), key=lambda record: record.case.shots)
    assert two.case.id == "padim_resnet18-surface.woven-default-scratch-2shot-s0"
    assert two.fingerprints["images"] == {"fit": 2, "calibration": 0, "test": 64}
    assert four.fingerprints["images"]["fit"] == 4
    text = (tmp_path / "results" / "LEADERBOARD.md").read_text()
    assert "#### surface.woven, 2 shots" in text
    assert "#### surface.woven, 4 shots" in text
    assert "mean over" not in text


def test_models_that_reproduce_their_few_images_keep_the_contract(
    run_session, session_options, tmp_path, write_category
):
    """Scores of training images are only rounding errors there, which depend on the batch."""
    category = tmp_path / "data" / "parts" / "nuts"
    write_category(category)
    noise = np.random.default_rng(0).normal(120, 12, (6, 64, 64, 3)).astype(np.uint8)
    shutil.rmtree(category / "train")
    (category / "train" / "good").mkdir(parents=True)
    for number, pixels in enumerate(noise):
        Image.fromarray(pixels).save(category / "train" / "good" / f"{number}.png")
    chosen = ("-k", "parts and scratch and (dfm_resnet18 or patchcore_resnet18)")
    data = ("--data-dir", str(tmp_path / "data"))
    run(run_session, session_options, *chosen, *data).assert_outcomes(passed=2)


def test_model_for_all_categories_is_evaluated_on_each(
    run_session, session_options, store, tmp_path, write_category
):
    for number, name in enumerate(NAMES):
        write_category(tmp_path / "data" / "parts" / name, good=6 + number)
    chosen = ("-k", "parts.all and padim_resnet18 and scratch", "--multi-class")
    data = ("--data-dir", str(tmp_path / "data"))
    run(run_session, session_options, *chosen, *data).assert_outcomes(passed=1)
    (record,) = store.records()
    assert from_json(record.to_json()) == record
    assert record.case.id == "padim_resnet18-parts.all-default-scratch-s0"
    own = record.categories["score"]
    assert sorted(own) == sorted(NAMES)
    with np.load(tmp_path / "results" / record.artifacts["scores"]) as file:
        places = np.array([name.partition("/")[0] for name in file["names"]])
        for number, name in enumerate(NAMES):
            rows = places == name
            assert rows.sum() == 6 + number + 6
            by_hand = roc_auc_score(file["labels"][rows], file["scores.score"][rows])
            assert own[name]["image_auroc"] == pytest.approx(by_hand)
    mean = np.mean([own[name]["image_auroc"] for name in NAMES])
    assert record.metrics["score"]["image_auroc"] == pytest.approx(mean)
    rules = {name.partition(".")[0] for name in record.thresholds["score"]}
    assert rules == set(NAMES)
    parts = {part.case.category: part for part in by_category([record])}
    assert parts["pins"].metrics["score"] == own["pins"]
    assert parts["pins"].thresholds["score"].keys() >= {"calibrated_p95", "best_f1"}
    text = (tmp_path / "results" / "LEADERBOARD.md").read_text()
    assert "#### parts, one model for all categories: mean over 3 categories" in text
    assert "### parts.pins, one model for all categories" in text
