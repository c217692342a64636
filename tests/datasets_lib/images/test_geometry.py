"""Frames and how images fit into them, against Pillow and pixel by pixel."""

import numpy as np
import pytest
from PIL import ExifTags, Image
from torchvision.transforms import CenterCrop, Resize

from datasets_lib.images.geometry import PADDING, Geometry, Window, as_geometry, picture_size
from datasets_lib.images.orientation import load_as_stored

SIZES = [(125, 50), (50, 125), (64, 48), (30, 30), (7, 300), (97, 65)]  # width, height


def picture(width, height, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def spots(width, height):
    pixels = np.random.default_rng(3).random((height, width)) < 0.2
    return Image.fromarray(pixels.astype(np.uint8) * 255)


@pytest.mark.parametrize("fit", ["squash", "pad", "crop", "middle"])
@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("size", [(48, 64), (64, 48), (33, 33)])
def test_frames_hold_the_resized_picture_where_the_window_says(fit, width, height, size):
    geometry = Geometry(*size, fit)
    window = geometry.window(width, height)
    inside = (window.width, window.height)
    resized = np.asarray(picture(width, height).resize(inside, Image.Resampling.BILINEAR))
    marked = np.asarray(spots(width, height).resize(inside, Image.Resampling.NEAREST)) > 0
    image = geometry.image(picture(width, height))
    mask = geometry.mask(spots(width, height))
    assert image.shape == (*size, 3)
    assert mask.shape == size
    for row, column in np.ndindex(*size):
        y, x = row - window.top, column - window.left
        shown = 0 <= y < window.height and 0 <= x < window.width
        assert tuple(image[row, column]) == (tuple(resized[y, x]) if shown else PADDING)
        assert mask[row, column] == (shown and marked[y, x])


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("size", [(48, 64), (64, 48), (256, 640)])
def test_pad_shows_everything_and_crop_fills_the_frame_both_in_proportion(width, height, size):
    pad, crop = (Geometry(*size, fit).window(width, height) for fit in ("pad", "crop"))
    assert pad.height <= size[0]
    assert pad.width <= size[1]
    assert (pad.height == size[0]) or (pad.width == size[1])
    assert crop.height >= size[0]
    assert crop.width >= size[1]
    for window in (pad, crop):
        # One pixel of rounding.
        assert abs(window.height - window.width * height / width) <= max(1, height / width)
        for begin, length, side in (
            (window.top, window.height, size[0]),
            (window.left, window.width, size[1]),
        ):
            after = side - begin - length
            assert abs(begin - after) <= 1  # centered


def test_a_commutator_keeps_its_aspect_ratio_where_it_fits():
    assert Geometry(256, 640, "pad").window(1250, 500) == Window(0, 0, 256, 640)
    assert Geometry(256, 256, "pad").window(1250, 500) == Window(77, 0, 102, 256)
    assert Geometry(256, 256, "crop").window(1250, 500) == Window(0, -192, 256, 640)


def test_the_middle_is_torchvisions_resize_and_center_crop():
    wanted = CenterCrop(64)(Resize((128, 128), antialias=True)(picture(125, 50)))
    found = Geometry(64, 64, "middle").image(picture(125, 50))
    np.testing.assert_array_equal(found, np.asarray(wanted))


def test_a_square_is_unchanged():
    wanted = picture(40, 70).resize((24, 24), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(as_geometry(24).image(picture(40, 70)), np.asarray(wanted))


@pytest.mark.parametrize(
    "geometry",
    [Geometry(8, 8), Geometry(8, 9), Geometry(8, 8, "pad"), Geometry(256, 640, "crop")],
)
def test_text_round_trip(geometry):
    assert Geometry.parse(str(geometry)) == geometry


@pytest.mark.parametrize("text", ["", "x", "8x", "8x9 stretch", "-8", "8x9x3"])
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match="wanted a size"):
        Geometry.parse(text)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["TIFF", "JPEG", "PNG"])
def test_a_pictures_size_is_that_of_its_stored_pixels(tmp_path, kind, orientation):
    file = tmp_path / "picture"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    picture(97, 65).save(file, kind, exif=exif)
    with Image.open(file) as opened:
        assert picture_size(file) == load_as_stored(opened).size == (97, 65)
