"""A saved ensemble predicts the mean of its members' standardized predictions."""

import errno
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from kept_runs import keep_run
from saved_models import SIDE, gray, save_padim

from bench.checkpoint.metadata import CheckpointError, Preprocessing
from bench.commands.predict import load_scorer
from bench.ensemble.choose import choose
from bench.ensemble.members import NoMemberError, panels
from bench.ensemble.pixels import pixel_gain
from bench.ensemble.saved import has_maps, is_ensemble, load_ensemble, save_ensemble
from bench.predict.predictor import load_checkpoint

DEFECTIVE = np.arange(60) % 5 < 2


@pytest.fixture
def choice(tmp_path):
    """An ensemble of two runs, each with a saved model."""
    return choose_of_two(tmp_path)


def choose_of_two(tmp_path, **how):
    """Choose among two runs, each with a saved model."""
    runs = []
    for seed, model in enumerate(["padim_resnet18", "dfm_resnet18"]):
        how |= {"defective": DEFECTIVE, "seed": seed, "scale": 5.0**seed}
        run = keep_run(tmp_path, model, 1.3, **how)
        save_padim(tmp_path / "runs" / f"{seed}.pth")
        artifacts = run.record.artifacts | {"model": f"runs/{seed}.pth"}
        runs.append(replace(run, record=replace(run.record, artifacts=artifacts)))
    return choose(panels(runs)[0], 2)


def test_it_predicts_the_mean_on_the_scale_of_normal_images(choice, tmp_path):
    path = save_ensemble(choice, tmp_path / "two.ensemble")
    assert is_ensemble(path)
    ensemble, images = load_scorer(path, "cpu"), gray(5, seed=9, spot=True)
    found = ensemble.score(images)
    scores = []
    for member in choice.chosen.members:
        model = load_checkpoint(tmp_path / member.record.artifacts["model"])
        raw = model.score(images).scores["score"]
        scores.append((raw.astype(float) - member.center) / member.spread)
    np.testing.assert_allclose(found.scores["score"], np.mean(scores, axis=0), rtol=1e-5)
    assert found.maps["score"].shape == (5, SIDE, SIDE)


def test_its_threshold_is_of_the_held_out_images_of_all_members(choice, tmp_path):
    ensemble = load_ensemble(save_ensemble(choice, tmp_path / "two.ensemble"))
    own = ensemble.metadata.calibrations[""]["score"]
    parts = []
    for member in choice.chosen.members:
        with np.load(tmp_path / member.record.artifacts["scores"]) as file:
            raw = file["calibration.score"].astype(float)
        parts.append((raw - member.center) / member.spread)
    ascending = np.sort(np.mean(parts, axis=0))
    np.testing.assert_allclose(own.scores, ascending, rtol=1e-6)
    assert own.thresholds["calibrated_p95"] == pytest.approx(ascending[38])  # ⌈41 · 0.95⌉ of 40
    assert own.map_range_of == "normal test images"


def test_members_without_a_model_or_of_other_shapes_are_refused(choice, tmp_path):
    first, second = (
        tmp_path / member.record.artifacts["model"] for member in choice.chosen.members
    )
    save_padim(second, preprocessing=Preprocessing(SIDE, SIDE + 32))
    with pytest.raises(NoMemberError, match="different shapes"):
        save_ensemble(choice, tmp_path / "two.ensemble")
    first.unlink()
    with pytest.raises(NoMemberError, match="--save-models"):
        save_ensemble(choice, tmp_path / "two.ensemble")
    assert not is_ensemble(tmp_path / "two.ensemble")


def changed(path, **fields):
    """Rewrite the archive with another description."""
    with ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    described = json.loads(content["ensemble.json"]) | fields
    content["ensemble.json"] = json.dumps(described)
    with ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"version": 2}, "version 2"),
        ({"format": "other"}, "'other'"),
        ({"scales": [{"head": "score", "center": 0, "spread": 0}]}, "positive"),
        ({"scales": [{"head": "score"}]}, "damaged"),
        ({"scales": 3 * [{"head": "score", "center": 0, "spread": 1}]}, "members/2"),
        ({"metadata": "{}"}, "description without"),
    ],
)
def test_a_changed_file_is_refused(choice, tmp_path, fields, part):
    path = save_ensemble(choice, tmp_path / "two.ensemble")
    changed(path, **fields)
    with pytest.raises(CheckpointError, match=part):
        load_ensemble(path)


@pytest.mark.parametrize("maps", [True, False])
def test_it_says_whether_its_maps_can_be_drawn(choice, tmp_path, maps):
    if not maps:
        (tmp_path / choice.chosen.members[0].record.artifacts["maps"]).unlink()
    assert has_maps(save_ensemble(choice, tmp_path / "two.ensemble")) == maps


def test_it_has_maps_but_no_pixel_metrics_without_masks(tmp_path):
    choice = choose_of_two(tmp_path, masks=False)
    path = save_ensemble(choice, tmp_path / "two.ensemble")
    assert has_maps(path)
    found = load_scorer(path, "cpu").score(gray(2))
    assert found.maps["score"].shape == (2, SIDE, SIDE)
    with pytest.raises(NoMemberError, match="no masks"):
        pixel_gain(choice)


def test_a_full_temporary_folder_is_not_called_damage(choice, tmp_path, monkeypatch):
    path = save_ensemble(choice, tmp_path / "two.ensemble")

    def fail(file, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", fail)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    said = rf"temporary folder {tmp_path} \(No space left on device\).*TMPDIR"
    with pytest.raises(CheckpointError, match=said) as caught:
        load_ensemble(path)
    assert "damaged" not in str(caught.value)


def test_a_truncated_file_is_refused(choice, tmp_path):
    path = save_ensemble(choice, tmp_path / "two.ensemble")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CheckpointError):
        load_ensemble(path)
