"""MVTec LOCO's overlap from end to end: files, sizes, saturations, maps."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from bench.metrics.evaluation import anomaly_metrics
from bench.run.predict import HeadPredictions
from bench.run.spro import saturated_regions
from datasets_lib.layouts.category import DatasetError, Sample

SIDE, SIZE = 64, 32


@pytest.fixture
def samples(tmp_path):
    """One normal image; one with a defect of 16×16 and, overlapping it, one of 8×32 pixels."""
    root = tmp_path / "mvtec_loco" / "pushpins"
    config = [
        {
            "defect_name": "missing",
            "pixel_value": 255,
            "saturation_threshold": 64,
            "relative_saturation": False,
        },
        {
            "defect_name": "bent",
            "pixel_value": 254,
            "saturation_threshold": 1.0,
            "relative_saturation": True,
        },
    ]
    folder = root / "ground_truth" / "logical_anomalies" / "000"
    folder.mkdir(parents=True)
    (root / "defects_config.json").write_text(json.dumps(config))
    for name, value, box in (("000", 255, (8, 8, 16, 16)), ("001", 254, (16, 16, 8, 32))):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        y, x, height, width = box
        mask[y : y + height, x : x + width] = value
        Image.fromarray(mask).save(folder / f"{name}.png")
    files = []
    for kind in ("good", "logical_anomalies"):
        (root / "test" / kind).mkdir(parents=True)
        files.append(root / "test" / kind / "000.png")
        Image.new("RGB", (SIDE, SIDE)).save(files[-1])
    masks = tuple(sorted(folder.iterdir()))
    return [
        Sample("test/good/000.png", files[0]),
        Sample("test/logical_anomalies/000.png", files[1], masks, "logical_anomalies"),
    ]


def overlap(samples, maps):
    scores, tensor = torch.zeros(2), torch.from_numpy(maps).float()
    saturated = saturated_regions("mvtec_loco", samples, {"head": HeadPredictions(scores, tensor)})
    labels, masks = torch.tensor([0, 1]), torch.zeros(2, SIZE, SIZE).bool()
    metrics = anomaly_metrics(scores, tensor, labels, masks, None, saturated=saturated).metrics
    return {name: value for name, value in metrics.items() if name.startswith("auspro")}


def test_a_missing_object_is_found_from_its_saturation(samples):
    maps = np.zeros((2, SIZE, SIZE))
    # At half the size the first defect has 8×8 pixels and is found from 64 / 4 = 16 of them; of the
    # second, 4×16 pixels, all count.
    maps[1, 4:8, 4:8] = 1
    assert overlap(samples, maps)["auspro_05"] == pytest.approx(0.5 + _ramp(0.05, 0.5), abs=1e-6)
    maps[1, 8:12, 8:24] = 1
    assert overlap(samples, maps) == pytest.approx({"auspro_30": 1.0, "auspro_05": 1.0})


def _ramp(limit, left):
    """What the constant rest adds up to the limit, on the way to 1 with every normal pixel."""
    return left * limit / 2


def test_other_datasets_have_none(samples):
    predictions = {"head": HeadPredictions(torch.zeros(2), torch.zeros(2, SIZE, SIZE))}
    assert saturated_regions("mvtec", samples, predictions) is None
    assert saturated_regions("my_own", samples, predictions) is None
    without_maps = {"head": HeadPredictions(torch.zeros(2), None)}
    assert saturated_regions("mvtec_loco", samples, without_maps) is None


def test_a_mask_of_an_unknown_value_is_named(samples):
    mask = np.asarray(Image.open(samples[1].masks[0])).copy()
    mask[mask > 0] = 7
    Image.fromarray(mask).save(samples[1].masks[0])
    with pytest.raises(DatasetError, match=r"000\.png.*pixel value 7"):
        overlap(samples, np.zeros((2, SIZE, SIZE)))
