import numpy as np
import pytest
import torch
from PIL import Image

from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.batches.texture_synthesis import synthesize_textures
from datasets_lib.batches.textures import PROCEDURAL, SYNTHESIZED, TextureSource, texture_source
from datasets_lib.discover import find_datasets
from datasets_lib.images.geometry import Geometry
from datasets_lib.layouts.category import DatasetError
from datasets_lib.sets import dtd, imagenette


def write_images(folder, names, value):
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((24, 20, 3), value + number, np.uint8)).save(folder / name)


@pytest.fixture
def data(tmp_path):
    """Both texture sets, two classes of DTD and both splits of Imagenette."""
    data = tmp_path / "data"
    write_images(data / "dtd/dtd/images", ["banded/a.jpg", "zigzagged/b.jpg"], 10)
    (data / "dtd/dtd/images/banded/.directory").write_text("left by a file manager")
    (data / "dtd/dtd/labels").mkdir()
    wanted = ["train/n01440764/a.JPEG", "val/n01440764/b.JPEG", "train/n03888257/c.JPEG"]
    write_images(data / "imagenette2-160", wanted, 100)
    return data


def streams(count, seed=1):
    return RandomStreams(torch.arange(count), seed=seed)


def test_both_sets_are_found_and_listed(data):
    found = find_datasets([data])
    assert list(found) == ["dtd", "imagenette2"]
    textures = dtd.ENTRY.reader(found["dtd"].root)
    assert [file.name for file in textures] == ["a.jpg", "b.jpg"]
    photographs = imagenette.ENTRY.reader(found["imagenette2"].root)
    assert [file.name for file in photographs] == ["a.JPEG", "c.JPEG", "b.JPEG"]


def test_hidden_files_are_no_textures(data):
    write_images(data / "dtd/dtd/images/banded", ["._a.jpg"], 50)
    assert [file.name for file in dtd.ENTRY.reader(data / "dtd")] == ["a.jpg", "b.jpg"]


def test_preferred_texture_set_is_used(data, cache):
    found = find_datasets([data])
    textures = texture_source(found, 16, cache)
    assert textures.name == "dtd"
    assert textures.images.dtype == torch.uint8
    assert sorted(textures.images.flatten(1).float().mean(1).round().tolist()) == [10, 11]
    other = texture_source(found, 16, cache, wanted=("imagenette2",))
    assert other.name == "imagenette2"
    assert len(other.images) == 3
    del found["dtd"]
    assert texture_source(found, 16, cache).name == "imagenette2"


def test_empty_texture_set_is_refused(data, cache):
    found = find_datasets([data])
    for file in (data / "dtd").rglob("*.jpg"):
        file.unlink()
    with pytest.raises(DatasetError, match=r"no images: wanted .*\.jpg.* in images/<class>"):
        texture_source(found, 16, cache)
    (data / "imagenette2-160/val").rename(data / "imagenette2-160/valid")
    with pytest.raises(DatasetError, match="val cannot be listed"):
        texture_source(found, 16, cache, wanted=("imagenette2",))


def test_procedural_source_has_its_own_name(cache):
    source = texture_source({}, 32, cache)
    assert source.name == PROCEDURAL
    assert source.images.shape == (SYNTHESIZED, 3, 32, 32)
    assert source.images.is_contiguous(memory_format=torch.channels_last)


def test_samples_are_images_of_the_source_drawn_evenly():
    images = torch.arange(5, dtype=torch.uint8)[:, None, None, None].repeat(1, 3, 4, 4)
    source = TextureSource("dtd", images.contiguous(memory_format=torch.channels_last))
    drawn = source.sample(streams(5000))
    assert drawn.shape == (5000, 3, 4, 4)
    assert drawn.dtype == torch.uint8
    assert (drawn == drawn[:, :1, :1, :1]).all()
    counts = drawn[:, 0, 0, 0].bincount(minlength=5)
    # Five standard deviations of a binomial count.
    assert (counts - 1000).abs().max() < 5 * (5000 * 0.2 * 0.8) ** 0.5
    torch.testing.assert_close(source.sample(streams(7)), drawn[:7])
    assert not torch.equal(source.sample(streams(5000, seed=2)), drawn)


def test_procedural_textures_depend_on_their_number_alone():
    some = synthesize_textures(7, 48)
    assert some.shape == (7, 48, 48, 3)
    assert some.dtype == np.uint8
    np.testing.assert_array_equal(synthesize_textures(12, 48)[:7], some)
    assert synthesize_textures(0, 48).shape == (0, 48, 48, 3)


def test_procedural_textures_are_varied():
    textures = synthesize_textures(60, 64).astype(np.float64)
    # None is flat, none is all black or white.
    assert textures.std(axis=(1, 2)).max(axis=1).min() > 8
    assert ((textures == 0) | (textures == 255)).mean(axis=(1, 2, 3)).max() < 0.9
    # No two alike, in color or in pattern.
    gray = textures.mean(axis=3).reshape(60, -1)
    alike = np.abs(np.corrcoef(gray)) - np.eye(60)
    assert alike.max() < 0.8
    means = textures.mean(axis=(1, 2))
    assert means.std(axis=0).min() > 25
    # Coarse ones and fine ones: the share of variation between neighbors spans a decade.
    centerd = textures - means[:, None, None]
    rough = np.square(np.diff(centerd, axis=2)).mean(axis=(1, 2, 3))
    share = rough / np.square(centerd).mean(axis=(1, 2, 3))
    assert share.max() / share.min() > 10


def test_pictures_may_be_the_middle_of_twice_the_size(data, cache):
    file = data / "imagenette2-160/train/n01440764/a.JPEG"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, quality=95)
    found = find_datasets([data])
    textures = texture_source(found, Geometry(16, 24, "middle"), cache, ("imagenette2",))
    twice = np.asarray(Image.open(file).resize((48, 32), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(textures.images[0].permute(1, 2, 0), twice[8:24, 12:36])


def test_procedural_textures_fill_rectangles(cache):
    textures = texture_source({}, Geometry(8, 12, "crop"), cache)
    square = torch.from_numpy(synthesize_textures(SYNTHESIZED, 12)).permute(0, 3, 1, 2)
    assert torch.equal(textures.images, square[:, :, :8])
