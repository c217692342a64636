"""Stored predictions are the model's, to half precision of the maps' range."""

import numpy as np
import torch

from bench.run.kept_predictions import halved, write_maps, write_scores
from bench.run.predict import HeadPredictions
from datasets_lib.batches.image_set import ImageSet


def images(count, side=6):
    return ImageSet(
        images=torch.zeros(count, 3, side, side, dtype=torch.uint8),
        labels=torch.arange(count) % 2 == 1,
        names=tuple(f"test/{place}.png" for place in range(count)),
        defects=tuple(None if place % 2 == 0 else "dent" for place in range(count)),
        masks=torch.rand(count, side, side) > 0.7,
    )


def predictions(count, maps=True):
    generator = torch.Generator().manual_seed(count)
    values = 1e6 * torch.randn(count, 6, 6, generator=generator)
    return HeadPredictions(values.amax((1, 2)), values if maps else None)


def test_scores_of_tested_and_held_out_images_are_kept(tmp_path):
    test, normal = predictions(5), predictions(3)
    path = write_scores(tmp_path / "s.npz", images(5), {"a": test}, images(3).names, {"a": normal})
    with np.load(path) as file:
        assert file["names"].tolist() == list(images(5).names)
        np.testing.assert_array_equal(file["scores.a"], test.scores)
        np.testing.assert_array_equal(file["calibration.a"], normal.scores)
        assert len(file["calibration_names"]) == 3
    path = write_scores(tmp_path / "s.npz", images(5), {"a": test}, (), {})
    with np.load(path) as file:
        assert sorted(file.files) == ["labels", "names", "scores.a"]


def test_maps_beyond_the_range_of_half_precision_are_kept(tmp_path):
    test, normal, data = predictions(5), predictions(3), images(5)
    path = write_maps(tmp_path / "m.npz", data.names, {"a": test}, {"a": normal}, data.masks)
    with np.load(path) as file:
        low, high = file["range.a"]
        assert file["maps.a"].dtype == np.float16
        found = low + (high - low) * file["maps.a"].astype(float)
        np.testing.assert_allclose(found, test.maps, atol=(high - low) / 2048, rtol=0)
        bits = np.unpackbits(file["masks"], 1, count=36).reshape(5, 6, 6)
        np.testing.assert_array_equal(bits, data.masks)
        center, _ = file["normal.a"]
        assert center == np.median(normal.maps.double())


def test_maps_above_the_limit_or_absent_are_not_kept(tmp_path):
    whole, names = {"a": predictions(5)}, images(5).names
    path = tmp_path / "m.npz"
    assert write_maps(path, names, whole, {}, None, limit=5 * 36 * 2 - 1) is None
    assert write_maps(path, names, {"a": predictions(5, maps=False)}, {}, None) is None
    assert not path.exists()
    assert write_maps(path, names, whole, {}, None, limit=5 * 36 * 2) == path
    with np.load(path) as file:
        assert sorted(file.files) == ["maps.a", "names", "range.a"]


def test_infinite_pixels_are_clipped_to_the_finite_ones():
    shares, (low, high) = halved(torch.tensor([[-torch.inf, 1.0, 2.0, 3.0, torch.inf]]))
    np.testing.assert_array_equal(shares, [[0, 0, 0.5, 1, 1]])
    assert (low, high) == (1, 3)
    assert halved(torch.full((1, 2), 7.0))[0].tolist() == [[0, 0]]
