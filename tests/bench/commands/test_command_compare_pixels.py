"""``python -m bench compare`` on pixel metrics, from maps as runs store them."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_records import make

from bench.__main__ import main
from bench.run.kept_predictions import write_maps
from bench.run.predict import HeadPredictions
from bench.store import Store

NAMES = tuple(f"test/{place:03d}.png" for place in range(30))
LABELS = np.arange(30) >= 12
CASES = "padim_resnet18", "cfa_resnet18"


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


def pictures(gap, side=20, seed=0):
    """Raw maps, and masks with one square in each defective image."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((len(NAMES), side, side), dtype=bool)
    for image in np.flatnonzero(LABELS):
        top, left = rng.integers(0, side - 5, 2)
        masks[image, top : top + 5, left : left + 5] = True
    return (rng.normal(0, 1, masks.shape) + gap * masks).astype(np.float32), masks


def keep(results, model, maps, masks, names=NAMES):
    """Store a run with its scores and maps; return its id."""
    record = make(model)
    place = f"runs/{record.key.id}"
    folder = results / place
    folder.mkdir(parents=True)
    scores = torch.from_numpy(maps).flatten(1).amax(1)
    np.savez(
        folder / "scores.npz", names=np.array(NAMES), labels=LABELS, **{"scores.score": scores}
    )
    found = {"score": HeadPredictions(scores, torch.from_numpy(maps))}
    masks = None if masks is None else torch.from_numpy(masks)
    write_maps(folder / "maps.npz", names, found, {}, masks)
    kept = {name: f"{place}/{name}.npz" for name in ("scores", "maps")}
    Store(results / "runs").append(replace(record, artifacts=kept))
    return record.key.id


def compare(results, ids, metric):
    records = str(results / "runs" / "records.jsonl")
    return main(["compare", *ids, "--metric", metric, "--records", records])


def test_maps_are_compared_by_leaving_images_out(results, capsys):
    (weak, masks), (strong, _) = pictures(0.5), pictures(1.0)
    ids = [
        keep(results, model, maps, masks) for model, maps in zip(CASES, (weak, strong), strict=True)
    ]
    assert compare(results, ids, "pixel_auroc") == 0
    out = capsys.readouterr().out
    shown = [float(value) for value in re.findall(r"pixel_auroc (\d+\.\d+) %", out)]
    # For unit normals a gap of d has an AUROC of Φ(d / √2).
    assert shown == pytest.approx([63.8, 76.0], abs=3)
    assert "jackknife over images" in out
    assert "The second is better" in out
    for metric in ("pixel_ap", "aupro_30", "aupro_05"):
        assert compare(results, ids, metric) == 0
        assert f"{metric} " in capsys.readouterr().out


def test_missing_or_unlike_maps_are_told(results, capsys):
    maps, masks = pictures(1.0)
    first = keep(results, CASES[0], maps, masks)
    for model, words, other in (
        ("cfa_resnet18", "with other masks", pictures(1.0, side=24)),
        ("dfm_resnet18", "of other images", (maps, masks, NAMES[::-1])),
        ("stfpm_resnet18", "cannot be read", (maps, None)),
    ):
        assert compare(results, [first, keep(results, model, *other)], "aupro_30") == 2
        assert words in capsys.readouterr().err
    (results / "runs" / first / "maps.npz").unlink()
    assert compare(results, [first, first], "pixel_ap") == 2
    assert "--keep-maps" in capsys.readouterr().err
