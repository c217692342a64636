"""Image files from a pipe: split correctly whatever their format, even after damage."""

import io

import numpy as np
import pytest
from PIL import Image

from bench.predict.frames import is_image_data, split_frames


def encoded(kind, seed=0, **options):
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 56, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


FILES = [
    *(encoded("PNG", seed) for seed in range(3)),
    encoded("JPEG", 3, quality=95),
    encoded("JPEG", 4, progressive=True, optimize=True),
    encoded("JPEG", 5, restart_marker_rows=1),
    # A thumbnail: a complete JPEG within the header of another.
    encoded("JPEG", 6, exif=b"Exif\0\0" + encoded("JPEG", 7, quality=20)[:60_000]),
    encoded("BMP", 8),
    encoded("PNG", 9),
]


class Trickle(io.RawIOBase):
    """A pipe that delivers a few bytes at a time."""

    def __init__(self, data, step):
        self.data, self.step = io.BytesIO(data), step

    def read1(self, _):
        return self.data.read(self.step)


@pytest.mark.parametrize("step", [97, 4096, 1 << 20])
def test_files_come_out_as_they_went_in(step):
    data = b"".join(FILES)
    assert list(split_frames(data[:8], Trickle(data[8:], step))) == FILES


def test_after_damage_the_next_file_is_found():
    broken = FILES[0][:60] + b"?" * 40
    cut = FILES[3][:500]
    data = broken + FILES[1] + b"junk" + FILES[4] + cut
    found = list(split_frames(b"", io.BytesIO(data)))
    assert found[1] == FILES[1]
    assert FILES[4] in found
    assert found[-1] == cut
    assert b"".join(found) == data


def test_pipe_without_a_byte_has_no_frame():
    assert list(split_frames(b"", io.BytesIO())) == []


def test_what_begins_as_an_image_is_none_of_paths():
    assert all(is_image_data(data[:8]) for data in FILES)
    paths = ("/a/b.png", "BMW/1.png", "BM", "", "a", "Österreich.png")
    assert not any(is_image_data(path.encode()[:8]) for path in paths)
