"""The comparison with the peer: the same configuration on both sides, and no leftover process."""

import sys
import time

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import zoom

from bench.perf import mvtec_like, zoo_sides
from bench.perf.zoo_peer import MODELS as PEER_MODELS
from bench.perf.zoo_sides import ProcessFailedError, Workload, run_ours, run_peer, timed
from bench.perf.zoo_tables import OURS, PEER, WARM, TimedRun, quality_table, speed_table
from datasets_lib.surface.render import render
from models.catalog import MODELS


def workload(tmp_path, **fields):
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
    return Workload(**values | fields)


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_peer_models_have_our_backbones():
    named = {name: arguments for name, (_, arguments) in PEER_MODELS.items() if arguments}
    backbones = {name: given for name, given in named.items() if "backbone" in given}
    assert len(backbones) == 24
    for name, arguments in backbones.items():
        assert arguments["backbone"] == MODELS[name].weights.partition(".")[0]


def test_task_selects_the_case_that_matches_the_peer(tmp_path):
    assert workload(tmp_path).case.id == "patchcore.anomalib-mvtec_like.grained-default-scratch-s0"
    given = workload(tmp_path, model="padim_resnet18", weights=tmp_path / "resnet18.pth")
    assert given.case.id == "padim_resnet18-mvtec_like.grained-default-pretrained-s0"


@pytest.mark.parametrize(
    ("model", "images"), [("efficientad_small", 9), ("csflow", 8), ("rd_resnet18", 8), ("cfa", 16)]
)
def test_ours_trains_on_the_whole_batches_that_are_nearest(tmp_path, model, images):
    ours = workload(tmp_path, model=model)
    for number in range(9):
        (tmp_path / "train" / "good" / f"{number}.png").touch()
    assert ours.images == images


def test_both_sides_run_on_the_device_of_the_task(monkeypatch, tmp_path):
    commands = []

    def note(command, timeout_s):
        commands.append(command)
        return None, ""

    monkeypatch.setattr(zoo_sides, "timed", note)
    run_ours(workload(tmp_path, device="cuda"), tmp_path)
    run_peer(workload(tmp_path, device="cuda"), tmp_path / "python")
    run_ours(workload(tmp_path), tmp_path)
    devices = [command[command.index("--device") + 1] for command in commands]
    assert devices == ["cuda", "cuda", "cpu"]


@pytest.mark.parametrize("drawing", [False, True])
def test_both_sides_draw_where_the_task_says_so(monkeypatch, tmp_path, drawing):
    commands = []
    monkeypatch.setattr(zoo_sides, "timed", lambda *given: commands.append(given[0]) or (None, ""))
    run_ours(workload(tmp_path, drawing=drawing), tmp_path)
    run_peer(workload(tmp_path, drawing=drawing), tmp_path / "python")
    ours, peers = commands
    assert ("--no-pictures" in ours, "--drawing" in peers) == (not drawing, drawing)


def test_speed_table_divides_medians_and_bounds_a_stopped_peer():
    padim = {
        OURS: [TimedRun(1.0), TimedRun(2.0), TimedRun(9.0)],
        WARM: [TimedRun(0.5)],
        PEER: [TimedRun(30.0), TimedRun(10.0), TimedRun(20.0)],
    }
    stopped = {OURS: [TimedRun(2.0)], PEER: [TimedRun(None, limit_s=40.0)]}
    head, _, *lines = speed_table({"padim": padim, "dfm": stopped}).splitlines()
    assert cells(head) == [
        *("Model", "ours, cold, s", "ours, warm, s", "peer, s"),
        *("peer / ours, cold", "peer / ours, warm"),
    ]
    assert cells(lines[0]) == ["padim", "2.0", "0.5", "20.0", "10.00 ×", "40.00 ×"]
    assert cells(lines[1]) == ["dfm", "2.0", "–", "> 40 (stopped)", "> 20.00 ×", "–"]
    rounded = {OURS: [TimedRun(3.0)], PEER: [TimedRun(None, limit_s=5.0)]}
    assert "> 1.66 ×" in speed_table({"dfm": rounded})  # 1.667 would be no lower bound


def test_quality_table_leaves_missing_metrics_empty():
    runs = {
        OURS: [TimedRun(1.0, {"image_auroc": 0.5})],
        PEER: [TimedRun(1.0, {"image_auroc": 0.25})],
    }
    lines = [cells(line) for line in quality_table({"dfkde": runs}).splitlines()[2:]]
    assert lines == [["dfkde", OURS, "50.00", "–", "–"], ["dfkde", PEER, "25.00", "–", "–"]]


def test_timed_stops_a_process_with_its_children(tmp_path):
    begun = tmp_path / "begun"
    child = f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    start = time.perf_counter()
    assert timed([sys.executable, "-c", parent], 3.0) == (None, "")
    assert begun.exists()
    # The child shares its parent's output: if it were alive, the call would still be waiting.
    assert time.perf_counter() - start < 30


def test_timed_reports_the_output_of_a_failed_process():
    with pytest.raises(ProcessFailedError, match="no such weights"):
        timed([sys.executable, "-c", "raise SystemExit('no such weights')"], 30)


def test_counts_are_those_of_bottle():
    assert mvtec_like.COUNTS["train/good"] == 209
    assert mvtec_like.COUNTS["test/good"] == 20
    kinds = [kind for kind in mvtec_like.COUNTS if kind.startswith("test/") and "good" not in kind]
    assert len(kinds) == 3
    assert sum(mvtec_like.COUNTS[kind] for kind in kinds) == 63


def test_photograph_is_large_noisy_and_deterministic():
    image, mask = mvtec_like.photograph("test/stain", 3)
    again, _ = mvtec_like.photograph("test/stain", 3)
    np.testing.assert_array_equal(image, again)
    small, small_mask = render(mvtec_like.CATEGORY, "test", "stain", 3)
    assert image.shape == (900, 900, 3)
    assert abs(mask.mean() - small_mask.mean()) < 0.002
    np.testing.assert_allclose(image.mean((0, 1)), small.mean((0, 1)), atol=0.6)
    smooth = zoom(small[..., 0].astype(float), 900 / 256, order=3, grid_mode=True, mode="nearest")
    assert 0.8 < (image[..., 0] - smooth).std() < 1.5


def test_category_is_written_once(tmp_path):
    few = {"train/good": 1, "test/good": 1, "test/stain": 1}
    folder = mvtec_like.write_mvtec_like(tmp_path, few)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))
    assert files == [
        "ground_truth/stain/000_mask.png",
        "test/good/000.png",
        "test/stain/000.png",
        "train/good/000.png",
    ]
    size = (folder / "train/good/000.png").stat().st_size
    assert 0.7e6 < size < 1.3e6, "about the size of a photograph's file"
    mask = np.asarray(Image.open(folder / "ground_truth/stain/000_mask.png"))
    assert set(np.unique(mask)) == {0, 255}
    (folder / "train/good/000.png").unlink()
    assert mvtec_like.write_mvtec_like(tmp_path, few) == folder
    assert not (folder / "train/good/000.png").exists()
