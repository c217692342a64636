"""Verification finds what was done to a tiny real dataset, and nothing else."""

import shutil
import time

import numpy as np
import pytest
from dataset_files import box, write_image, write_kolektor, write_mask, write_real_iad, write_visa
from PIL import Image

from datasets_lib.discover import find_datasets
from datasets_lib.entry import FOLDER_READER, Counts
from datasets_lib.layouts.category import Sample
from datasets_lib.layouts.custom_names import read_category as read_named
from datasets_lib.verify import images as module
from datasets_lib.verify.images import Inspected, Problem
from datasets_lib.verify.sets import Check, verify_category

PLAIN, NAMED = "datasets_lib.layouts.plain_folders", "datasets_lib.layouts.custom_names"

COUNTS = Counts(train=5, test=6, defective=3)


@pytest.fixture
def category(tmp_path, write_category):
    return write_category(tmp_path / "mine" / "rods", train=5, good=3, spots=3)


def verified(category, expected=COUNTS):
    return verify_category("mine", "rods", category, FOLDER_READER, Check(expected))


def problems(category):
    return [(problem.kind, problem.where) for problem in verified(category).problems]


def test_a_whole_category_verifies(category):
    report = verified(category)
    assert report.problems == ()
    assert report.counts == COUNTS
    assert report.notes == ("48×48",)


def test_progress_ends_with_all_images(category):
    seen = []
    verify_category("m", "r", category, FOLDER_READER, Check(progress=lambda *at: seen.append(at)))
    assert seen == [(done, 11) for done in range(1, 12)]


def test_an_interrupt_does_not_wait_for_the_rest(category, monkeypatch):
    started = []

    def slow(sample, bits):
        started.append(sample)
        time.sleep(0.02)
        return Inspected()

    def interrupt(done, total):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "inspect", slow)
    samples = [Sample("a.png", category / "a.png")] * 2000
    with pytest.raises(KeyboardInterrupt):
        module.check_files({"train": samples}, interrupt)
    assert len(started) < 1000


def same_pixels(category):
    source, copy = category / "train/good/003.png", category / "test/good/001.bmp"
    Image.open(source).save(copy)
    (category / "test/good/001.png").unlink()
    assert copy.read_bytes() != source.read_bytes()


def one_pixel_apart(category):
    pixels = np.array(Image.open(category / "train/good/003.png"))
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(category / "test/good/001.png")


FLAWS = {
    "other counts": (
        lambda c: (c / "train/good/000.png").unlink(),
        [("4 train images, the publisher says 5", "")],
    ),
    "empty mask": (
        lambda c: write_mask(c / "ground_truth/spot/002_mask.png", np.zeros((48, 48))),
        [("empty mask of a defect", "test/spot/002.png")],
    ),
    "same file": (
        lambda c: shutil.copy(c / "train/good/003.png", c / "test/good/001.png"),
        [("the same file in train and test", "train/good/003.png = test/good/001.png")],
    ),
    "same pixels": (
        same_pixels,
        [("the same pixels in train and test", "train/good/003.png = test/good/001.bmp")],
    ),
    "one pixel apart": (one_pixel_apart, []),
    "two labels": (
        lambda c: shutil.copy(c / "test/good/000.png", c / "test/spot/000.png"),
        [
            (
                "the same pixels under two labels",
                "test/good/000.png (normal) = test/spot/000.png (defective)",
            )
        ],
    ),
    "mask folder of another name": (lambda c: (c / "ground_truth").rename(c / "GT-masks"), []),
}


@pytest.mark.parametrize(("damage", "expected"), FLAWS.values(), ids=FLAWS)
def test_each_flaw_is_reported_alone(category, damage, expected):
    damage(category)
    assert problems(category) == expected


UNREADABLE = {
    "test/good/001.png": (lambda file: file.write_bytes(file.read_bytes()[:-20]), ""),
    "train/good/002.png": (lambda file: file.write_bytes(b""), ""),
    "test/spot/000.png": (
        lambda file: write_mask(
            file.parents[2] / "ground_truth/spot/000_mask.png", np.full((48, 47), 255)
        ),
        "47×48",
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_damaged_file_is_reported_and_the_rest_is_read(category, name):
    damage, reason = UNREADABLE[name]
    damage(category / name)
    [(kind, where)] = problems(category)
    assert kind == "unreadable"
    assert where.startswith(f"{name}: ")
    assert reason in where


def test_kinds_of_images_and_repeats_are_notes(category):
    image = Image.open(category / "train/good/000.png").convert("L").resize((20, 30))
    image.save(category / "train/good/000.png")
    shutil.copy(category / "train/good/001.png", category / "train/good/002.png")
    deep = np.arange(48 * 48, dtype=np.uint16).reshape(48, 48) * 7
    Image.fromarray(deep).save(category / "train/good/003.png")
    report = verified(category)
    assert report.problems == ()
    assert report.notes == (
        "2 image sizes, 48×48 most often",
        "2 gray",
        "1 16-bit",
        "1 repeated within a split",
    )


def test_a_layout_that_cannot_be_read_is_a_finding(category):
    shutil.rmtree(category / "train")
    report = verified(category)
    assert report.counts is None
    assert len(report.problems) == 1


def test_a_missing_mask_and_a_damaged_image_are_both_found(category):
    (category / "ground_truth/spot/001_mask.png").unlink()
    (category / "train/good/002.png").write_bytes(b"no image")
    report = verified(category)
    assert report.counts == COUNTS
    assert [(p.kind, p.where.partition(":")[0]) for p in report.problems] == [
        ("unreadable", "train/good/002.png"),
        ("defect without a mask", "test/spot/001.png"),
    ]


def test_masks_without_an_image_are_found(category):
    truth = category / "ground_truth"
    for orphan in ("spot/077_mask.png", "gone/000_mask.png", "spot/078/000.png"):
        (truth / orphan).parent.mkdir(exist_ok=True)
        shutil.copy(truth / "spot/000_mask.png", truth / orphan)
    # Of a normal image, and a second one of a defect.
    (truth / "good").mkdir()
    shutil.copy(truth / "spot/000_mask.png", truth / "good/000_mask.png")
    shutil.copy(truth / "spot/000_mask.png", truth / "spot/000.png")
    assert sorted(problems(category)) == [
        ("mask without an image", "ground_truth/gone/000_mask.png"),
        ("mask without an image", "ground_truth/spot/077_mask.png"),
        ("mask without an image", "ground_truth/spot/078/000.png"),
    ]


def test_masks_of_no_mask_format_are_found(category):
    for mask in (category / "ground_truth/spot").iterdir():
        mask.rename(mask.with_suffix(".jpg"))
    found = problems(category)
    assert found[:3] == [("defect without a mask", f"test/spot/00{n}.png") for n in range(3)]
    assert found[3:] == [
        (
            "mask of another format than .bmp, .png, .tif, .tiff",
            f"ground_truth/spot/00{n}_mask.jpg",
        )
        for n in range(3)
    ]


def test_images_deeper_than_their_kind_are_problems(category):
    # Other renderings of the images above them, which no reader takes.
    for deeper in ("train/good/more/000.png", "test/spot/more/day1/000.png"):
        (category / deeper).parent.mkdir(parents=True)
        shutil.copy(category / "train/good/000.png", category / deeper)
    assert problems(category) == [
        ("image deeper than the folders that are read", "test/spot/more/day1/000.png"),
        ("image deeper than the folders that are read", "train/good/more/000.png"),
    ]
    assert verified(category).notes == ("48×48",)


def test_files_passed_over_are_notes(category):
    (category / "train/bad").mkdir()
    shutil.copy(category / "train/good/000.png", category / "train/bad/100.png")
    for name in (
        "train/good/101.svg",
        "test/spot/notes.txt",
        "train/good/._000.png",
        "readme.txt",
    ):
        (category / name).write_bytes(b"")
    report = verified(category)
    assert report.problems == ()
    assert report.notes == (
        "48×48",
        "1 images in other folders ignored",
        "2 files ignored (.svg, .txt)",
    )


def test_masks_next_to_normal_images_are_named(category):
    for name in ("train/good/001_gt.png", "test/good/002_label.png", "test/spot/001_gt.png"):
        write_mask(category / name, np.zeros((48, 48)))
    report = verified(category)
    assert report.problems == ()
    assert report.notes == (
        "48×48",
        "2 masks next to normal images not used: test/good/002_label.png, train/good/001_gt.png",
    )


def test_plain_folders_are_searched_too(tmp_path):
    for n in range(5):
        write_image(tmp_path / f"normal/{n}.png", n)
    for n, folder in enumerate(("abnormal", "abnormal/dent", "normal/sub")):
        write_image(tmp_path / folder / f"{n}.png", 10 + n)
    write_mask(tmp_path / "Masks/0.png", box(1, 1))
    write_mask(tmp_path / "Masks/0_mask.png", box(1, 1))
    write_mask(tmp_path / "Masks/9.png", box(1, 1))
    report = verify_category("mine", "all", tmp_path, f"{PLAIN}:read_category")
    assert [(problem.kind, problem.where) for problem in report.problems] == [
        ("defect without a mask", "abnormal/dent/1.png"),
        ("image deeper than the folders that are read", "normal/sub/2.png"),
        ("mask without an image", "Masks/9.png"),
    ]
    assert report.notes == ("12×10",)


def test_sets_told_by_file_names_are_searched_by_category_and_not_written_to(tmp_path):
    for n in range(5):
        write_image(tmp_path / f"data_rgb/normal/cap 50 {n}.png", n)
        write_image(tmp_path / f"data_rgb/normal/rod 50 {n}.png", 10 + n)
    write_image(tmp_path / "data_rgb/dent/cap 50 9.png", 20)
    write_mask(tmp_path / "masks/dent/cap 50 9.png", box(1, 1))
    write_mask(tmp_path / "masks/dent/rod 50 9.png", box(1, 1))
    (tmp_path / "data_rgb/normal/cap 50 7.svg").touch()
    before = sorted(tmp_path.rglob("*"))
    reports = [
        verify_category("mine", category, tmp_path, f"{NAMED}:read_category")
        for category in ("cap", "rod")
    ]
    assert [(report.problems, report.notes) for report in reports] == [
        ((), ("12×10", "1 files ignored (.svg)")),
        ((Problem("mask without an image", "masks/dent/rod 50 9.png"),), ("12×10",)),
    ]
    assert sorted(tmp_path.rglob("*")) == before


def test_verification_never_rewrites_the_table(tmp_path):
    for n in range(5):
        write_image(tmp_path / f"data_rgb/normal/cap 50 {n}.png", n)
    read_named("mine", "cap", tmp_path)
    table = (tmp_path / "data_info.csv").read_bytes()
    write_image(tmp_path / "data_rgb/normal/cap 50 9.png", 9)
    assert verify_category("mine", "cap", tmp_path, f"{NAMED}:read_category").problems == ()
    assert (tmp_path / "data_info.csv").read_bytes() == table
    read_named("mine", "cap", tmp_path)
    assert (tmp_path / "data_info.csv").read_bytes() != table


@pytest.mark.parametrize("write", [write_visa, write_kolektor, write_real_iad])
def test_listed_sets_have_no_masks_without_images(tmp_path, write):
    write(tmp_path / write.__name__.removeprefix("write_"))
    found = find_datasets([tmp_path])
    [dataset] = found.values()
    for category, path in dataset.categories.items():
        report = verify_category(dataset.name, category, path, dataset.reader)
        assert not [problem for problem in report.problems if "mask" in problem.kind]
        assert not [note for note in report.notes if "ignored" in note]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "counts", "empty"),
    [
        ("magnetic_tile", Counts(500, 489, 289), 0),
        ("magnetic_tile_uneven", Counts(100, 153, 103), 4),
    ],
)
def test_magnetic_tiles(real_data, name, counts, empty):
    folder = real_data / "mvtec_style" / name
    report = verify_category("mvtec_style", name, folder, FOLDER_READER, Check(counts))
    assert [problem.kind for problem in report.problems] == ["empty mask of a defect"] * empty
    for problem in report.problems:
        _, kind, file = problem.where.split("/")
        [mask] = (folder / "ground_truth" / kind).glob(f"{file.partition('.')[0]}*")
        assert not np.asarray(Image.open(mask)).any()
