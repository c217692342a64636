"""Names of files made of other names fit, and stay apart."""

import pytest

from bench.file_names import truncated_stem
from bench.plots.image_panels import file_names


@pytest.mark.parametrize("letter", ["a", "가", "\udcff"])
def test_long_names_are_cut_and_stay_apart(letter):
    names = [truncated_stem(300 * letter + end, 26) for end in "01"]
    assert len(set(names)) == 2
    assert all(len(name.encode("utf-8", "surrogateescape")) <= 255 - 26 for name in names)
    assert truncated_stem(70 * letter, 26) == 70 * letter


def test_pictures_of_test_images_have_names_that_fit():
    images = [f"test/good/{83 * '가'}{end}" for end in ("1.png", "2.png", "1.jpg")]
    names = list(file_names(images))
    assert len(set(names)) == 3
    assert all(len(f"{name}.png".encode()) <= 255 for name in names)
