"""The side-by-side comparison: both sides do the same, times are told apart, nothing outlives."""

import sys
import time

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import zoom

from bench.perf import mvtec_like
from bench.perf.zoo import PeerRuns
from bench.perf.zoo_peer import MODELS as PEER_MODELS
from bench.perf.zoo_sides import ProcessFailedError, Task, timed
from bench.perf.zoo_tables import DRAWN, OURS, PEER, WARM, Run, quality_table, speed_table
from datasets_lib.surface.render import render
from models.catalog import MODELS


def task(tmp_path, **fields):
    values = {
        "model": "patchcore",
        "dataset": "mvtec_like",
        "category": "grained",
        "folder": tmp_path,
        "data_dir": tmp_path,
        "weights": None,
        "precision": "float32",
        "batch": 32,
        "timeout_s": 9.0,
    }
    (tmp_path / "train" / "good").mkdir(parents=True, exist_ok=True)
    return Task(**values | fields)


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_peers_backbones_are_those_of_our_configurations():
    for name, (_, arguments) in PEER_MODELS.items():
        assert arguments["backbone"] == MODELS[name].weights.partition(".")[0]


def test_our_case_is_the_one_that_does_what_the_peer_does(tmp_path):
    assert task(tmp_path).case.id == "patchcore.anomalib-mvtec_like.grained-default-scratch-s0"
    given = task(tmp_path, model="padim_resnet18", weights=tmp_path / "resnet18.pth")
    assert given.case.id == "padim_resnet18-mvtec_like.grained-default-pretrained-s0"


def test_ratios_are_of_medians_and_a_stopped_peer_gives_a_bound():
    runs = {
        OURS: [Run(1.0), Run(2.0), Run(9.0)],
        WARM: [Run(0.5)],
        PEER: [Run(30.0), Run(10.0), Run(20.0)],
        DRAWN: [Run(None, limit_s=40.0)],
    }
    head, _, line = speed_table({"padim": runs}).splitlines()
    found = dict(zip(cells(head), cells(line), strict=True))
    assert found["ours, cold, s"] == "2.0"
    assert found["peer / ours, cold"] == "10.00 ×"
    assert found["peer / ours, warm"] == "40.00 ×"
    assert found["peer, drawing, s"] == "> 40 (stopped)"
    assert found["peer, drawing / ours, cold"] == "> 20.00 ×"


def test_quality_stands_side_by_side_and_what_a_side_has_not_is_empty():
    runs = {OURS: [Run(1.0, {"image_auroc": 0.5})], PEER: [Run(1.0, {"image_auroc": 0.25})]}
    lines = [cells(line) for line in quality_table({"dfkde": runs}).splitlines()[2:]]
    assert lines == [["dfkde", OURS, "50.00", "–", "–"], ["dfkde", PEER, "25.00", "–", "–"]]


def test_kept_runs_serve_the_same_task_alone(tmp_path):
    file = tmp_path / "peer.json"
    run = Run(3.0, {"image_auroc": 0.5, "aupro_30": None}, {"fit_s": 2.0}, {"torch": "2"})
    PeerRuns(file).add(task(tmp_path), PEER, run)
    kept = PeerRuns(file)
    assert kept.of(task(tmp_path), PEER) == [run]
    assert not kept.of(task(tmp_path), DRAWN)
    assert not kept.of(task(tmp_path, batch=16), PEER)
    assert not kept.of(task(tmp_path, model="padim"), PEER)
    assert not kept.of(task(tmp_path, weights=tmp_path / "wide.pth"), PEER)


def test_a_process_is_stopped_with_its_children(tmp_path):
    begun = tmp_path / "begun"
    child = f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    start = time.perf_counter()
    assert timed([sys.executable, "-c", parent], 3.0) == (None, "")
    assert begun.exists()
    # The child has its parent's output: were it alive, its end would have been waited for.
    assert time.perf_counter() - start < 30


def test_a_process_that_fails_is_told_with_its_last_words():
    with pytest.raises(ProcessFailedError, match="no such weights"):
        timed([sys.executable, "-c", "raise SystemExit('no such weights')"], 30)


def test_the_drawn_category_has_bottles_counts():
    assert mvtec_like.COUNTS["train/good"] == 209
    assert mvtec_like.COUNTS["test/good"] == 20
    kinds = [kind for kind in mvtec_like.COUNTS if kind.startswith("test/") and "good" not in kind]
    assert len(kinds) == 3
    assert sum(mvtec_like.COUNTS[kind] for kind in kinds) == 63


def test_photographs_are_large_noisy_and_the_same_every_time():
    image, mask = mvtec_like.photograph("test/stain", 3)
    again, _ = mvtec_like.photograph("test/stain", 3)
    np.testing.assert_array_equal(image, again)
    small, small_mask = render(mvtec_like.CATEGORY, "test", "stain", 3)
    assert image.shape == (900, 900, 3)
    assert abs(mask.mean() - small_mask.mean()) < 0.002
    np.testing.assert_allclose(image.mean((0, 1)), small.mean((0, 1)), atol=0.6)
    smooth = zoom(small[..., 0].astype(float), 900 / 256, order=3, grid_mode=True, mode="nearest")
    assert 0.8 < (image[..., 0] - smooth).std() < 1.5


def test_a_category_is_written_once(tmp_path, monkeypatch):
    monkeypatch.setattr(mvtec_like, "COUNTS", {"train/good": 1, "test/good": 1, "test/stain": 1})
    folder = mvtec_like.write_mvtec_like(tmp_path)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    assert files == [
        "ground_truth/stain/000_mask.png",
        "test/good/000.png",
        "test/stain/000.png",
        "train/good/000.png",
    ]
    size = (folder / "train/good/000.png").stat().st_size
    assert 0.7e6 < size < 1.3e6, "a photograph's file is about that large"
    mask = np.asarray(Image.open(folder / "ground_truth/stain/000_mask.png"))
    assert set(np.unique(mask)) == {0, 255}
    (folder / "train/good/000.png").unlink()
    assert mvtec_like.write_mvtec_like(tmp_path) == folder
    assert not (folder / "train/good/000.png").exists()
