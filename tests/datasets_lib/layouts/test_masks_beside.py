"""Images and masks of one name in one folder: paired as published, or an error; nothing deeper."""

import re

import numpy as np
import pytest
from dataset_files import box, names, touch, write_image, write_mask
from PIL import Image

from datasets_lib.entry import FOLDER_READER
from datasets_lib.layouts.beside import looks_like_mask
from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.custom_names import read_category as read_named
from datasets_lib.layouts.mvtec_folders import MVTEC
from datasets_lib.layouts.plain_folders import read_category as read_plain
from datasets_lib.verify.sets import verify_category

EMPTY = box(0, 0, 0)


def write_pair(folder, stem, seed, mask=EMPTY, suffixes=(".jpg", ".png")):
    """A photograph and a mask of one name."""
    image, truth = (folder / f"{stem}{suffix}" for suffix in suffixes)
    return write_image(image, seed), write_mask(truth, mask)


def write_tiles(root):
    """A category whose masks lie next to its images, empty ones next to normal images too."""
    for n in range(3):
        write_pair(root / "train/good", n, n)
        write_pair(root / "test/good", n, 10 + n)
        write_pair(root / "test/crack", n, 20 + n, box(n, n))
    return root


def test_the_mask_next_to_a_jpeg_of_its_name_is_no_image(tmp_path):
    root = write_tiles(tmp_path)
    category = MVTEC.read("tiles", "c", root)
    assert category.has_masks
    assert names(category.train) == [f"train/good/{n}.jpg" for n in range(3)]
    kinds = ("good", "crack")
    assert names(category.test) == [f"test/{kind}/{n}.jpg" for kind in kinds for n in range(3)]
    masks = [sample.masks for sample in category.test if sample.defect]
    assert masks == [(root / f"test/crack/{n}.png",) for n in range(3)]
    assert verify_category("tiles", "c", root, FOLDER_READER).problems == ()


def test_other_layouts_pair_them_too(tmp_path):
    for n in range(5):
        write_pair(tmp_path / "plain/normal", n, n)
        write_pair(tmp_path / "named/data_rgb/normal", f"cap 50 {n}", n)
    plain = write_pair(tmp_path / "plain/abnormal/dent", 7, 7, box(1, 1), (".JPEG", ".bmp"))
    named = write_pair(tmp_path / "named/data_rgb/dent", "cap 50 7", 7, box(1, 1))
    for read, folder, category, (image, mask) in (
        (read_plain, "plain", "all", plain),
        (read_named, "named", "cap", named),
    ):
        found = read("set", category, tmp_path / folder)
        assert len(found.train) == 4
        assert [(s.image, s.masks) for s in found.test if s.defect] == [(image, (mask,))]
        assert found.has_masks


@pytest.mark.parametrize("folder", ["train/good", "test/good", "test/crack"])
def test_a_photograph_in_two_formats_is_an_error_that_names_both(tmp_path, folder):
    root = write_tiles(tmp_path)
    first, second = (write_image(root / folder / f"photo{s}", 40) for s in (".jpg", ".png"))
    said = re.escape(f"{first} and {second} have one name, and photo.png has over 16 values")
    with pytest.raises(DatasetError, match=f"{said}.*rename it to photo_mask.png; if both"):
        MVTEC.read("tiles", "c", root)


@pytest.mark.parametrize(
    "files",
    [
        ("x.png", "x.bmp"),
        ("x.jpg", "x.jpeg"),
        ("x.jpg", "x.png", "x.tif"),
        ("x.jpg", "x.png", "x_mask.png"),
        ("x.png", "x.png.png"),
    ],
)
@pytest.mark.parametrize("folder", ["train/good", "test/crack"])
def test_other_files_of_one_name_are_an_error(tmp_path, files, folder):
    root = write_tiles(tmp_path)
    for file in files:
        write_mask(root / folder / file, EMPTY)
    with pytest.raises(DatasetError, match="have one name: wanted one image") as caught:
        MVTEC.read("tiles", "c", root)
    assert sum(str(root / folder / file) in str(caught.value) for file in files) >= 2


def test_a_damaged_mask_next_to_its_image_is_named(tmp_path):
    root = write_tiles(tmp_path)
    mask = root / "test/crack/1.png"
    mask.write_bytes(mask.read_bytes()[:40])
    with pytest.raises(DatasetError, match=re.escape(str(mask))):
        MVTEC.read("tiles", "c", root)


def levels(count, start=0, dtype=np.uint8):
    """An image of this many values."""
    return (start + np.arange(120) % count).astype(dtype).reshape(10, 12)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (EMPTY, True),
        (box(1, 1), True),
        (255 - EMPTY, True),
        (levels(16), True),
        (levels(17), False),
        (levels(16, start=100), False),
        (levels(16, dtype=np.uint16) * 300, True),
        (levels(17, dtype=np.uint16) * 300, False),
    ],
)
def test_masks_have_few_values_and_black_ones(tmp_path, values, expected):
    Image.fromarray(values).save(tmp_path / "x.png")
    assert looks_like_mask(tmp_path / "x.png") == expected


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_masks_of_every_mode_look_like_masks(tmp_path, mode):
    assert looks_like_mask(write_mask(tmp_path / "x.png", box(1, 1), mode))


DEEPER = {
    "mvtec, train": (MVTEC.read, "train/good", "train/good/day1/0.png"),
    "mvtec, kind": (MVTEC.read, "test/cut", "test/cut/left/day1/0.png"),
    "mvtec, normal": (MVTEC.read, "test/good", "test/good/left/0.png"),
    "plain, normal": (read_plain, "normal", "normal/day1/0.png"),
    "plain, kind": (read_plain, "abnormal/dent", "abnormal/dent/day1/0.png"),
    "named": (read_named, "data_rgb/dent", "data_rgb/dent/day1/cap 50 1.png"),
}


@pytest.mark.parametrize("name", DEEPER)
def test_images_in_folders_below_alone_are_an_error(tmp_path, name):
    read, folder, file = DEEPER[name]
    for other in ("train/good/1.png", "test/good/1.png", "test/dent/1.png"):
        if not other.startswith(folder):
            write_image(tmp_path / other)
    for other in ("normal/1.png", "abnormal/1.png", "data_rgb/normal/cap 50 9.png"):
        if not other.startswith(folder):
            write_image(tmp_path / other)
    write_image(tmp_path / file)
    found = re.escape(f"{tmp_path / folder} holds no image itself, but some in folders in it")
    with pytest.raises(DatasetError, match=found + ".*Move them up") as caught:
        read("set", "cap" if read is read_named else "all", tmp_path)
    assert str(tmp_path / file) in str(caught.value)


def write_sets(root):
    """Write an image into each folder that one of the layouts reads."""
    for folder in ("train/good", "test/good", "test/cut", "normal", "abnormal", "abnormal/dent"):
        write_image(root / folder / "7.png")
    for kind in ("normal", "dent"):
        write_image(root / f"data_rgb/{kind}/cap 50 7.png")


@pytest.mark.parametrize("name", DEEPER)
def test_images_in_formats_that_are_not_read_are_an_error(tmp_path, name):
    read, folder, _ = DEEPER[name]
    write_sets(tmp_path)
    category = "cap" if read is read_named else "all"
    [image] = (tmp_path / folder).glob("*.png")
    image.with_suffix(".DNG").touch()  # the camera's raw file of an image that is read
    assert read("set", category, tmp_path).test
    touch(tmp_path / folder, "8.heic", "9.GIF")
    found = re.escape(f"{tmp_path / folder} holds 2 images in formats that are not read (8.heic, 9")
    with pytest.raises(DatasetError, match=found + ".*Convert them to PNG"):
        read("set", category, tmp_path)


@pytest.mark.parametrize("name", DEEPER)
def test_images_in_folders_below_others_are_an_error(tmp_path, name):
    read, folder, file = DEEPER[name]
    write_sets(tmp_path)
    write_image(tmp_path / file)
    found = re.escape(f"{tmp_path / folder} holds some images itself and others in folders in it")
    with pytest.raises(DatasetError, match=found) as caught:
        read("set", "cap" if read is read_named else "all", tmp_path)
    assert str(tmp_path / file) in str(caught.value)


@pytest.mark.parametrize("file", ["test/cut/masks/0.png", "test/cut/.trash/0.png"])
def test_a_kind_without_images_may_hold_masks_alone(tmp_path, file):
    root = write_tiles(tmp_path)
    write_mask(root / file, box(1, 1))
    assert len(MVTEC.read("tiles", "c", root).test) == 6


def test_a_jpeg_with_the_name_of_a_mask_is_refused(tmp_path):
    """It may be the picture of a second camera, and would be left out."""
    for n in range(6):
        write_image(tmp_path / f"normal/{n}.jpg", n)
        write_image(tmp_path / f"normal/{n}_label.jpg", 10 + n)
    write_image(tmp_path / "abnormal/0.jpg", 20)
    with pytest.raises(DatasetError, match=r"0_label\.jpg has the name of a mask"):
        read_plain("parts", "all", tmp_path)


PHOTOGRAPHS = {
    "mvtec, train": (MVTEC.read, "train/good/1_label.png"),
    "mvtec, normal": (MVTEC.read, "test/good/gt_1.png"),
    "mvtec, kind": (MVTEC.read, "test/dent/1 seg.png"),
    "plain, normal": (read_plain, "normal/1_label.png"),
    "plain, kind": (read_plain, "abnormal/1_mask.png"),
    "named": (read_named, "data_rgb/normal/cap 50 1_gt.png"),
}


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_photograph_with_the_name_of_a_mask_is_an_error(tmp_path, name):
    read, file = PHOTOGRAPHS[name]
    for image in (
        *("train/good/1.png", "test/good/1.png", "test/dent/1.png", "normal/1.png"),
        *("normal/2.png", "abnormal/1.png", "data_rgb/normal/cap 50 1.png"),
        "data_rgb/normal/cap 50 2.png",
    ):
        write_image(tmp_path / image)
    category = "cap" if read is read_named else "all"
    assert read("set", category, tmp_path).train
    photograph = write_image(tmp_path / file)
    said = f"{re.escape(str(photograph))} .*over 16 values, .*1 of 1 .*rename them"
    with pytest.raises(DatasetError, match=said):
        read("set", category, tmp_path)
    write_mask(photograph, box(1, 1))  # the same name, seen again
    assert photograph not in [sample.image for sample in read("set", category, tmp_path).train]


def soft(*channels):
    """A mask whose edges are as soft as resizing leaves them, 200 pixels a side."""
    mask = Image.fromarray(box(2, 2)).resize((200, 200), Image.Resampling.BICUBIC)
    return np.asarray(mask)[..., None] * np.array(channels, np.uint8) if channels else mask


def dim(top, dtype=np.uint8):
    """A gray photograph with 6 % of black."""
    noise = np.random.default_rng(0).uniform(-0.07 * top, top, (200, 200))
    return noise.clip(0).astype(dtype)


@pytest.mark.parametrize(
    ("pixels", "is_photograph"),
    [
        (soft(), False),
        (soft(1, 1, 1), False),
        (np.asarray(soft(), np.uint16) * 200, False),
        (255 - EMPTY, False),
        (levels(2, start=1), False),
        (dim(200), True),
        (np.repeat(dim(200)[..., None], 3, 2), True),
        (dim(4000, np.uint16), True),
        (soft(1, 0, 1), True),  # an object before a black background
    ],
)
def test_of_files_named_as_masks_only_photographs_are_refused(tmp_path, pixels, is_photograph):
    for n in range(2):
        write_image(tmp_path / f"normal/{n}.png", n)
    image = write_image(tmp_path / "abnormal/0.png", 2)
    mask = image.with_name("0_mask.png")
    Image.fromarray(np.asarray(pixels)).save(mask)
    if is_photograph:
        with pytest.raises(DatasetError, match="looks like a photograph"):
            read_plain("parts", "all", tmp_path)
    else:
        assert read_plain("parts", "all", tmp_path).test[-1].masks == (mask,)


def test_masks_are_decoded_once(tmp_path, monkeypatch):
    root = write_tiles(tmp_path)
    for n in range(3):
        write_mask(root / f"test/crack/{n}.png", box(n, n)).rename(root / f"test/crack/{n}_gt.png")
    opened, whole = [], Image.open
    monkeypatch.setattr(Image, "open", lambda file: opened.append(file) or whole(file))
    first = MVTEC.read("tiles", "c", root)
    assert MVTEC.read("tiles", "c", root) == first
    assert first.has_masks
    assert len(opened) == len(set(opened)) == 9
