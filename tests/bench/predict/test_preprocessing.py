"""Images are read like the training images, and maps return to their place in the whole image."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.checkpoint.metadata import Preprocessing
from bench.predict.preprocessing import decode, on_image, over_whole_image
from datasets_lib.layouts.category import DatasetError


def png(height, width):
    """Return an image whose red and green grow with x and y, and its file."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width)
    pixels[..., 1] = np.linspace(0, 255, height)[:, None]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("fit", ["squash", "pad", "crop"])
@pytest.mark.parametrize("size", [(120, 80), (60, 200), (64, 96)])
@pytest.mark.parametrize("crop", [None, (40, 64)])
def test_what_the_model_sees_returns_to_where_it_was(fit, size, crop):
    height, width = size
    own = Preprocessing(64, 96, crop, fit)
    decoded = decode(png(height, width), Path("a.png"), own)
    assert decoded.size == (width, height)
    assert decoded.pixels.shape == (*(crop or (64, 96)), 3)
    for channel, axis in ((0, 1), (1, 0)):
        found = on_image(decoded.pixels[..., channel].astype(np.float32), own, (width, height))
        assert found.shape == size
        expected = np.linspace(0, 255, size[axis])
        expected = expected[None, :] if axis else expected[:, None]
        seen = np.abs(found - expected) < 12  # elsewhere is the lowest value
        assert seen.any()
        middle = seen[2 * height // 5 : 3 * height // 5, 2 * width // 5 : 3 * width // 5]
        assert middle.all()
        if fit != "crop" and crop is None:
            assert seen.mean() > 0.97


def test_padding_is_no_part_of_the_image():
    values = np.full((64, 64), 9.0, np.float32)
    values[16:48] = 1  # a wide image's rows
    whole = over_whole_image(values, Preprocessing(64, 64, fit="pad"), (200, 100))
    assert whole.shape == (32, 64)
    assert (whole == 1).all()


def test_what_was_not_seen_has_the_lowest_value():
    values = np.full((64, 64), 5.0, np.float32)
    values[0, 0] = 2
    whole = over_whole_image(values, Preprocessing(64, 64, fit="crop"), (200, 100))
    assert whole.shape == (64, 128)
    assert (whole[:, :32] == 2).all()
    assert (whole[:, 96:] == 2).all()
    assert (whole[1:, 32:96] == 5).all()


def test_sixteen_bit_files_are_read_as_the_camera_fills_them():
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8), 4095, np.uint16)).save(file, "PNG")
    for bits, value in ((12, 255), (16, 16)):
        pixels = decode(file.getvalue(), Path("a.png"), Preprocessing(8, 8, bits=bits)).pixels
        assert (pixels == value).all()
    with pytest.raises(DatasetError, match=r"a\.png.*--bits"):
        decode(file.getvalue(), Path("a.png"), Preprocessing(8, 8, bits=10))
