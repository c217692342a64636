import dataclasses
import hashlib

import numpy as np
import pytest
from image_files import decode_image
from PIL import Image
from sklearn.datasets import load_digits

from datasets_lib.batches.labeled import contents, mapped_images
from datasets_lib.layouts.category import DatasetError, Sample
from datasets_lib.layouts.classification import FileSplit, PixelSplit
from datasets_lib.sets.digits import read as read_digits


@pytest.fixture
def pixels():
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (600, 16, 16, 3)).astype(np.uint8)
    names = tuple(f"{number}.png" for number in range(600))
    return PixelSplit(("a", "b"), names, rng.integers(0, 2, 600), images)


@pytest.fixture
def files(tmp_path, pixels):
    """The first six of the pixels, as PNG files."""
    (tmp_path / "images").mkdir()
    samples = tuple(Sample(name, tmp_path / "images" / name) for name in pixels.names[:6])
    for sample, image in zip(samples, pixels.images, strict=False):
        Image.fromarray(image).save(sample.image)
    return FileSplit(pixels.classes, samples, tuple(pixels.labels[:6].tolist()))


@pytest.mark.parametrize("size", [8, 24])
def test_pixels_and_files_are_resized_equally(pixels, files, cache, size):
    of_files, of_pixels = (mapped_images(split, size, cache) for split in (files, pixels))
    np.testing.assert_array_equal(of_pixels[:6], of_files)
    np.testing.assert_array_equal(of_pixels[4], decode_image(files.samples[4].image, size))


def test_pixels_are_resized_once_and_mapped(pixels, cache):
    told = []
    first = mapped_images(pixels, 8, cache, progress=lambda done, count: told.append((done, count)))
    assert told[-1] == (600, 600)
    assert told == sorted(told)
    assert isinstance(first, np.memmap)
    again = mapped_images(pixels, 8, cache, progress=lambda *_: pytest.fail("resized again"))
    assert again.filename == first.filename
    (entry,) = cache.info()
    assert (entry.what, entry.bytes > 600 * 8 * 8 * 3) == ("600 images of 2 classes at 8 px", True)
    changed = dataclasses.replace(pixels, images=255 - pixels.images)
    np.testing.assert_array_equal(mapped_images(changed, 16, cache), 255 - pixels.images)
    assert not np.array_equal(mapped_images(changed, 8, cache), first)


def test_files_are_mapped_without_being_loaded(files, pixels, cache):
    mapped = mapped_images(files, 16, cache)
    assert isinstance(mapped, np.memmap)
    assert not mapped.flags.writeable
    again = np.memmap(mapped.filename, np.uint8, "r", shape=mapped.shape)
    np.testing.assert_array_equal(again[[5, 0]], pixels.images[[5, 0]])
    assert mapped_images(pixels, 16, cache) is pixels.images


def test_an_unusable_file_is_named(files, cache):
    files.samples[2].image.write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"2\.png"):
        mapped_images(files, 16, cache)


def test_the_hash_follows_everything_that_matters(pixels, files, cache):
    def relabeled(split):
        labels = [1 - label for label in split.labels]
        return dataclasses.replace(split, labels=type(files.labels)(labels))

    first = contents(files, cache.content).hash
    assert contents(files, cache.content).hash == first
    assert contents(relabeled(files), cache.content).hash != first
    renamed = dataclasses.replace(files, classes=("a", "c"))
    assert contents(renamed, cache.content).hash != first
    fewer = dataclasses.replace(files, samples=files.samples[:5], labels=files.labels[:5])
    assert contents(fewer, cache.content).hash != first
    stored = contents(pixels, cache.content).hash
    changed = pixels.images.copy()
    changed[-1, -1, -1, -1] ^= 1
    assert contents(dataclasses.replace(pixels, images=changed), cache.content).hash != stored
    swapped = dataclasses.replace(pixels, labels=1 - pixels.labels)
    assert contents(swapped, cache.content).hash != stored


def test_digits_are_scikit_learns_split_by_class(cache):
    digits, source = read_digits(), load_digits()
    places = [int(name) for split in (digits.train, digits.test) for name in split.names]
    assert sorted(places) == list(range(1797))
    for split in (digits.train, digits.test):
        own = [int(name) for name in split.names]
        assert split.labels.tolist() == source.target[own].tolist()
        expected = np.rint(source.images[own] * 255 / 16)[..., None].repeat(3, axis=3)
        np.testing.assert_array_equal(split.images, expected)
    per_class, held = np.bincount(source.target), np.bincount(digits.test.labels)
    assert np.abs(held - per_class / 5).max() <= 0.5
    assert (len(digits.train), len(digits.test)) == (1438, 359)
    assert mapped_images(digits.test, 32, cache).shape == (359, 32, 32, 3)
    assert digits.classes == tuple("0123456789")


def test_digits_split_does_not_change():
    """Records of digits are comparable only if the split stays the same: its rule, rewritten."""
    zeros = np.flatnonzero(load_digits().target == 0).tolist()
    ranked = sorted(zeros, key=lambda place: hashlib.sha256(b"%d" % place).hexdigest())
    test = read_digits().test
    held = [int(name) for name, label in zip(test.names, test.labels, strict=True) if label == 0]
    assert held == sorted(ranked[:36])
