"""What verification says of pixels: rotated files, multiple pages, unused bits, near-duplicates."""

import numpy as np
import pytest
from dataset_files import box, write_image, write_mask
from PIL import ExifTags, Image

from datasets_lib.entry import FOLDER_READER
from datasets_lib.images.bit_depth import bits_of_files, suspected_bits
from datasets_lib.verify.duplicates import near_duplicates, thumbnail_of
from datasets_lib.verify.sets import Check, verify_category


@pytest.fixture
def category(tmp_path):
    """A category with one defective image, 12 × 10 pixels."""
    for n in range(3):
        write_image(tmp_path / f"train/good/{n}.png", n)
    write_image(tmp_path / "test/cut/0.png", 5)
    write_mask(tmp_path / "ground_truth/cut/0_mask.png", box(2, 2))
    return tmp_path


def verified(category, **options):
    return verify_category("set", "c", category, FOLDER_READER, Check(**options))


def kinds(category, **options):
    return [problem.kind for problem in verified(category, **options).problems]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_orientations_are_problems(category, suffix, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    file = category / "train/good/1.png"
    image = Image.open(file)
    file.unlink()
    image.save(file.with_suffix(suffix), exif=exif)
    wanted = [] if orientation == 1 else [f"EXIF orientation {orientation}, which is not applied"]
    assert kinds(category) == wanted


def test_an_orientation_of_a_mask_is_a_problem(category):
    file = category / "ground_truth/cut/0_mask.png"
    image = Image.open(file)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    image.save(file, exif=exif)
    assert kinds(category) == ["mask with EXIF orientation 3, which is not applied"]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("train/good/1.png", "EXIF data that cannot be read"),
        ("ground_truth/cut/0_mask.png", "mask with EXIF data that cannot be read"),
    ],
)
def test_exif_data_that_cannot_be_read_is_a_problem(category, name, fault):
    image = Image.open(category / name)
    image.save(category / name, exif=b"Exif\0\0garbage!")
    assert kinds(category) == [fault]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_several_pages_are_problems(category, suffix):
    image = Image.open(category / "train/good/1.png")
    file = category / f"train/good/7{suffix}"
    image.transpose(Image.Transpose.ROTATE_180).save(file, save_all=True, append_images=[image])
    assert kinds(category) == ["several pages or frames, of which the first is used"]


def darken(category, bits):
    """The images as 16-bit files of a camera with fewer bits."""
    for file in sorted(category.glob("t*/*/*.png")):
        gray = np.asarray(Image.open(file).convert("L")).astype(np.uint16)
        gray[0, 0] = 255
        Image.fromarray((gray + 1) * 2 ** (bits - 8) - 1).save(file)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_unfilled_bits_are_a_problem_with_its_remedy(category, bits):
    darken(category, bits)
    [problem] = verified(category).problems
    assert f"--bits {bits}" in problem.kind
    assert f"{2**bits - 1:,} of 65,535" in problem.where
    levels = len(np.unique(np.rint(np.arange(2**bits) / 257.0)))
    assert f"become {levels} gray levels" in problem.kind
    assert kinds(category, bits=bits) == []
    assert bits_of_files(sorted(category.glob("train/good/*"))) == bits


def test_filled_bits_and_eight_bits_are_no_problem(category):
    assert bits_of_files(sorted(category.glob("train/good/*"))) is None
    darken(category, 16)
    assert kinds(category) == []
    assert bits_of_files(sorted(category.glob("train/good/*"))) is None


def test_too_few_bits_are_refused(category):
    darken(category, 12)
    assert set(kinds(category, bits=10)) == {"unreadable"}


@pytest.mark.parametrize(
    ("brightest", "bits"),
    [
        (None, None),
        (0, None),
        (200, 10),
        (1023, 10),
        (1024, 12),
        (4080, 12),
        (16383, 14),
        (16384, None),
    ],
)
def test_bits_are_those_of_cameras(brightest, bits):
    assert suspected_bits(brightest) == bits


def shoot(part, noise, seed):
    """A shot of a part: its pattern under sensor noise."""
    rng = np.random.default_rng(1000 + seed)
    pattern = np.random.default_rng(part).normal(0, 12, (16, 16)).repeat(4, 0).repeat(4, 1)
    return np.clip(120 + pattern + rng.normal(0, noise, (64, 64)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("parts", "count"), [(range(12), 6), (range(50, 62), 0)])
def test_near_duplicates_of_training_images_are_counted(tmp_path, parts, count):
    for n in range(12):
        file = tmp_path / f"train/good/{n}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(shoot(n, 3, n)).save(file)
    (tmp_path / "test/good").mkdir(parents=True)
    for n, part in enumerate([*parts][:6]):
        Image.fromarray(shoot(part, 3, 100 + n)).save(tmp_path / f"test/good/{n}.png")
    notes = " ".join(verified(tmp_path).notes)
    assert ("6 normal test images nearly equal" in notes) == (count > 0)
    assert ("nearly equal" in notes) == (count > 0)


def test_near_duplicates_are_paired_from_the_most_similar_on():
    def thumbnail(part, noise, seed):
        return thumbnail_of(Image.fromarray(shoot(part, noise, seed)).convert("RGB"))

    train = [thumbnail(part, 3, part) for part in range(12)]
    test = [thumbnail(part, noise, 100) for part, noise in [(7, 4), (50, 3), (2, 0), (5, 6)]]
    assert near_duplicates(train, test) == [(2, 2), (0, 7), (3, 5)]
