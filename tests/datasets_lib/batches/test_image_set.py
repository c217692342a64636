import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import decode_image, decode_mask
from PIL import Image

from bench.run.malloc import trim
from datasets_lib.batches.image_set import load
from datasets_lib.cache.decode_cache import DecodeCache
from datasets_lib.layouts.category import DatasetError, Sample

SIZE = 24


def test_a_test_split_has_images_labels_and_masks(category, cache):
    images = load(category.test, SIZE, cache, category.has_masks)
    assert len(images) == len(category.test)
    assert images.images.dtype == torch.uint8
    assert images.images.is_contiguous(memory_format=torch.channels_last)
    for index, sample in enumerate(category.test):
        expected = decode_image(sample.image, SIZE).transpose(2, 0, 1)
        np.testing.assert_array_equal(images.images[index].numpy(), expected)
        assert images.labels[index].item() == (sample.defect is not None)
        mask = np.zeros((SIZE, SIZE))
        if sample.masks:
            mask = decode_mask(sample.masks[0], SIZE, (48, 48))
        np.testing.assert_array_equal(images.masks[index].numpy(), mask)
    assert images.masks.dtype == images.labels.dtype == torch.bool
    assert images.names == tuple(sample.name for sample in category.test)
    assert images.defects == tuple(sample.defect for sample in category.test)


def test_a_training_split_has_empty_masks_or_none(category, cache):
    images = load(category.train, SIZE, cache, has_masks=True)
    assert images.masks.shape == (20, SIZE, SIZE)
    assert not images.masks.any()
    assert not images.labels.any()
    assert load(category.train, SIZE, cache, has_masks=False).masks is None


def test_an_empty_split_is_empty_tensors(cache):
    images = load((), SIZE, cache, has_masks=True)
    assert images.images.shape == (0, 3, SIZE, SIZE)
    assert images.labels.shape == (0,)
    assert images.masks.shape == (0, SIZE, SIZE)


def test_changing_the_tensors_does_not_change_the_cache(category, cache):
    first = load(category.test, SIZE, cache, category.has_masks)
    expected = first.images.clone()
    first.images.zero_()
    first.masks.fill_(True)
    second = load(category.test, SIZE, cache, category.has_masks)
    assert torch.equal(second.images, expected)
    assert not second.masks.all()


def test_to_moves_every_tensor(category, cache):
    moved = load(category.test, SIZE, cache, category.has_masks).to("meta")
    assert {t.device.type for t in (moved.images, moved.labels, moved.masks)} == {"meta"}
    assert moved.images.is_contiguous(memory_format=torch.channels_last)
    assert load(category.test, SIZE, cache, has_masks=False).to("meta").masks is None


def test_sixteen_bit_and_palette_images_load_as_their_rgb(tmp_path, cache):
    from image_files import png16

    rgb = np.random.default_rng(0).integers(0, 4, (20, 30, 3), dtype=np.uint8) * 80
    colors, index = np.unique(rgb.reshape(-1, 3), axis=0, return_inverse=True)
    palette = Image.fromarray(index.reshape(20, 30).astype(np.uint8))
    palette.putpalette(colors.tobytes())
    palette.save(tmp_path / "palette.png")
    Image.fromarray(rgb).save(tmp_path / "rgb.png")
    (tmp_path / "wide.png").write_bytes(png16(rgb.astype(np.uint16) * 257))
    names = ("rgb.png", "palette.png", "wide.png")
    samples = [Sample(name, tmp_path / name) for name in names]
    images = load(samples, SIZE, cache, has_masks=False).images
    assert torch.equal(images[0], images[1])
    assert torch.equal(images[0], images[2])


def test_cache_cleaned_during_a_load_is_an_error(category, cache, monkeypatch):
    original = DecodeCache.get

    def get_then_clean(self, *arguments):
        cached = original(self, *arguments)
        self.clean()
        return cached

    monkeypatch.setattr(DecodeCache, "get", get_then_clean)
    with pytest.raises(DatasetError, match="cleaned while a case was starting"):
        load(category.train, SIZE, cache, has_masks=False)


def resident(field):
    """A memory figure of this process, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+) kB", status)[1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="counts resident kilobytes as Linux does")
def test_loading_takes_memory_for_the_images_once(tmp_path, cache, run_in_child):
    path = tmp_path / "small.png"
    Image.new("RGB", (8, 8), (9, 8, 7)).save(path)
    samples = [Sample(f"{number}.png", path) for number in range(640)]
    cache.get(samples, 256)

    def peak_growth():
        trim()  # memory kept by an earlier test would be reused unnoticed
        Path("/proc/self/clear_refs").write_text("5")  # the parent's own peak would hide ours
        before = resident("VmRSS")
        images = load(samples, 256, cache, has_masks=False).images
        return (resident("VmHWM") - before) / images.nbytes

    # 126 MB: the pages of the map or a float copy would give 2 or more.
    assert 0.5 < run_in_child(peak_growth) < 1.2
