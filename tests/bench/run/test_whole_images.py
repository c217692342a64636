"""Maps of whole images from maps of frames, against SciPy and pixel by pixel."""

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from torch.nn import functional as F

from bench.run.predict import HeadPredictions
from bench.run.whole_images import over_whole_images, whole_maps, windows_of
from datasets_lib.images.geometry import Geometry
from datasets_lib.layouts.category import Sample

SIZE = (12, 20)


def random_maps(count=2, seed=0):
    return torch.rand(count, *SIZE, generator=torch.Generator().manual_seed(seed))


def interpolated(values, size):
    """Bilinear interpolation by half-pixel centers, edges repeated, in plain Python."""
    height, width = values.shape
    result = np.empty(size)
    for row, column in np.ndindex(*size):
        y = min(max((row + 0.5) * height / size[0] - 0.5, 0), height - 1)
        x = min(max((column + 0.5) * width / size[1] - 0.5, 0), width - 1)
        top, left = int(y), int(x)
        bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
        down, along = y - top, x - left
        result[row, column] = (1 - down) * (
            (1 - along) * values[top, left] + along * values[top, right]
        ) + down * ((1 - along) * values[bottom, left] + along * values[bottom, right])
    return result


@pytest.mark.parametrize(("width", "height"), [(40, 10), (20, 30), (5, 5), (20, 12)])
def test_padding_is_cut_off_and_the_rest_enlarged(width, height):
    window = Geometry(*SIZE, "pad").window(width, height)
    maps = random_maps()
    found = whole_maps(maps, [window, window])
    rows = slice(window.top, window.top + window.height)
    columns = slice(window.left, window.left + window.width)
    for own, whole in zip(maps.double().numpy(), found.numpy(), strict=True):
        wanted = interpolated(own[rows, columns], SIZE)
        np.testing.assert_allclose(whole, wanted, atol=1e-5)


def test_what_lies_in_the_padding_counts_nowhere():
    window = Geometry(*SIZE, "pad").window(40, 10)
    maps = random_maps()
    shouting = maps.clone()
    shouting[:, : window.top] = 1e6
    shouting[:, window.top + window.height :] = 1e6
    assert torch.equal(whole_maps(maps, [window] * 2), whole_maps(shouting, [window] * 2))


@pytest.mark.parametrize(("width", "height"), [(40, 10), (20, 30), (5, 5)])
def test_what_was_cropped_away_is_the_lowest(width, height):
    window = Geometry(*SIZE, "crop").window(width, height)
    maps = random_maps()
    found = whole_maps(maps, [window] * 2)
    canvas = torch.full((2, window.height, window.width), float(maps.min()))
    for row, column in np.ndindex(*SIZE):
        canvas[:, row - window.top, column - window.left] = maps[:, row, column]
    wanted = F.interpolate(canvas[:, None], SIZE, mode="bilinear", antialias=True)[:, 0]
    torch.testing.assert_close(found, wanted)
    for cut, edges in ((window.top, found[:, [0, -1]]), (window.left, found[:, :, [0, -1]])):
        assert torch.allclose(edges, maps.min()) == (cut < 0)


def test_images_of_several_shapes_each_have_their_own_window():
    frame = Geometry(*SIZE, "pad")
    windows = [frame.window(*size) for size in ((40, 10), (20, 30), (40, 10), (20, 12))]
    maps = random_maps(4)
    together = whole_maps(maps, windows)
    for row, window in enumerate(windows):
        # The lowest value of all maps fills what no map shows; padding leaves no such pixels.
        assert torch.equal(together[row], whole_maps(maps[row : row + 1], [window])[0])
    assert torch.equal(together[3], maps[3])  # its aspect ratio is the frame's


def test_scores_and_heads_without_maps_stay():
    predictions = {
        "mapped": HeadPredictions(torch.rand(1), random_maps(1)),
        "plain": HeadPredictions(torch.rand(1), None),
    }
    window = Geometry(*SIZE, "pad").window(40, 10)
    found = over_whole_images(predictions, [window])
    assert found["plain"].maps is None
    for head, result in found.items():
        assert torch.equal(result.scores, predictions[head].scores)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_windows_are_those_of_the_stored_pixels(tmp_path, fit, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    file = tmp_path / "0.tif"
    Image.new("L", (40, 10)).save(file, exif=exif)
    frame = Geometry(*SIZE, fit)
    assert windows_of([Sample(file.name, file)], frame) == [frame.window(40, 10)]
