"""Masks under the names and in the places that people use: found, or an error that names them."""

import unicodedata

import pytest
from dataset_files import box, names, touch, write_image, write_mask
from PIL import Image

from datasets_lib.discover import recognize
from datasets_lib.entry import FOLDER_READER
from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.custom_names import read_category as read_named
from datasets_lib.layouts.masks import MissingMasksError, image_key_of, is_truth_folder
from datasets_lib.layouts.mvtec_folders import read_category
from datasets_lib.layouts.plain_folders import read_category as read_plain
from datasets_lib.verify.sets import verify_category

NAMES = [
    *("{}.png", "{}_mask.png", "{}_Mask.PNG", "{}-mask.png", "{} mask.png", "{}.mask.png"),
    *("{}_gt.png", "{}_GT.bmp", "mask_{}.png", "gt-{}.tif", "{}.png.png", "{}.jpg.png"),
    *("{}_label.bmp", "{}_labels.png", "{}_groundtruth.png", "{}_ground_truth.png", "{}_seg.tiff"),
]
FOLDERS = [
    *("ground_truth", "Ground_Truth", "GroundTruth", "ground-truth", "ground truth", "gt", "GT"),
    *("mask", "masks", "Masks", "gt_masks", "labels", "annotations"),
]


def mvtec(root, mask="{}_mask.png", truth="ground_truth", kind="scratch"):
    """A category whose image files are empty, with two defective images."""
    files = ["train/good/0.png", "test/good/0.png", *(f"test/{kind}/{n:03}.png" for n in range(2))]
    touch(root, *files, *(f"{truth}/{kind}/{mask.format(f'{n:03}')}" for n in range(2)))
    return root


def masks_of(category):
    return [[mask.name for mask in sample.masks] for sample in category.test if sample.defect]


@pytest.mark.parametrize("mask", NAMES)
@pytest.mark.parametrize("truth", ["ground_truth", "gt", "test/masks"])
def test_masks_of_every_name_are_found(tmp_path, mask, truth):
    category = read_category("set", "c", mvtec(tmp_path, mask, truth))
    assert category.has_masks
    assert masks_of(category) == [[mask.format(f"{n:03}")] for n in range(2)]
    assert [sample.defect for sample in category.test] == [None, "scratch", "scratch"]


@pytest.mark.parametrize("truth", FOLDERS)
def test_folders_of_every_name_are_searched(tmp_path, truth):
    assert read_category("set", "c", mvtec(tmp_path / "mvtec", truth=truth)).has_masks
    flat = touch(tmp_path / "plain", "good/0.png", "good/1.png", "bad/2.png", f"{truth}/2.png")
    assert masks_of(read_plain("set", "all", flat)) == [["2.png"]]
    named = touch(
        tmp_path / "named",
        *("data_rgb/ok/cap 50 1.png", "data_rgb/ok/cap 50 2.png", "data_rgb/dent/cap 50 3.png"),
        f"{truth}/dent/cap 50 3.png",
    )
    assert masks_of(read_named("set", "cap", named)) == [["cap 50 3.png"]]


@pytest.mark.parametrize("mask", [name for name in NAMES if image_key_of(name.format("000"))])
@pytest.mark.parametrize("folder", ["test/scratch", "test/scratch/masks"])
def test_masks_next_to_their_images_are_no_images(tmp_path, mask, folder):
    root = mvtec(tmp_path, truth="away")
    touch(root, *(f"{folder}/{mask.format(f'{n:03}')}" for n in range(2)))
    touch(root, "test/good/0_mask.png", "train/good/0_mask.png")
    category = read_category("set", "c", root)
    assert names(category.train) == ["train/good/0.png"]
    assert names(category.test) == [
        "test/good/0.png",
        "test/scratch/000.png",
        "test/scratch/001.png",
    ]
    assert masks_of(category) == [[mask.format(f"{n:03}")] for n in range(2)]


def test_an_image_may_be_called_as_a_mask_is(tmp_path):
    root = touch(tmp_path, "train/good/0.png", "test/cut/red_label.png", "test/cut/blue_label.png")
    assert len(read_category("set", "c", root).test) == 2


@pytest.mark.parametrize("kind", ["label", "segment", "mask_edge"])
def test_a_kind_of_defect_may_be_called_as_an_annotation_is(tmp_path, kind):
    category = read_category("set", "c", mvtec(tmp_path, kind=kind))
    assert [sample.defect for sample in category.test[1:]] == [kind, kind]
    assert category.has_masks


@pytest.mark.parametrize("mask", ["truth{}.png", "x{}.png", "{}_mask_final.png"])
def test_masks_of_other_names_are_an_error_that_names_the_first(tmp_path, mask):
    root = mvtec(tmp_path, mask)
    with pytest.raises(MissingMasksError, match="named after none") as caught:
        read_category("set", "c", root)
    assert str(root / "ground_truth/scratch" / mask.format("000")) in str(caught.value)
    assert "test/scratch/000.png" in str(caught.value)


@pytest.mark.parametrize("mask", ["{}.jpg", "{}_gt.jpg", "{}_mask.webp"])
def test_masks_of_no_mask_format_are_an_error_wherever_they_lie(tmp_path, mask):
    with pytest.raises(MissingMasksError, match="not in a mask format"):
        read_category("set", "c", mvtec(tmp_path, mask, truth="gt"))


@pytest.mark.parametrize("folder", ["labels", "annotations"])
@pytest.mark.parametrize("suffix", [".txt", ".json", ".xml"])
def test_annotations_of_other_kinds_are_no_masks(tmp_path, folder, suffix):
    root = mvtec(tmp_path / "set", f"{{}}{suffix}", folder)
    assert not read_category("set", "c", root).has_masks
    touch(tmp_path / "classes", *(f"{s}/{c}/1.png" for s in ("train", "test") for c in "ab"))
    touch(tmp_path / "classes", f"{folder}/1{suffix}")
    assert recognize(tmp_path / "classes").task == "classification"


def test_a_mask_of_two_images_is_refused(tmp_path):
    root = touch(tmp_path, "train/good/0.png", "test/a/1.png", "test/b/1.png", "masks/1.png")
    with pytest.raises(DatasetError, match=r"test/a/1\.png and test/b/1\.png"):
        read_category("set", "c", root)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("other", ["NFC", "NFD"])
def test_normal_forms_of_names_are_equal(tmp_path, form, other):
    kind, stem = "긁힘", "é새"
    touch(tmp_path, "train/good/1.png", "test/good/1.png")
    touch(tmp_path, unicodedata.normalize(form, f"test/{kind}/{stem}.png"))
    touch(tmp_path, unicodedata.normalize(other, f"ground_truth/{kind}/{stem}_mask.png"))
    category = read_category("set", "c", tmp_path)
    assert category.has_masks
    assert category.test[1].name == unicodedata.normalize("NFC", f"test/{kind}/{stem}.png")
    assert category.test[1].defect == unicodedata.normalize("NFC", kind)


@pytest.mark.parametrize("word", FOLDERS)
def test_words_of_folders_are_known(word):
    assert is_truth_folder(word)


@pytest.mark.parametrize("normal", ["Good", "GOOD", "ok", "Normal"])
def test_normal_folders_are_known_in_every_case(tmp_path, normal):
    root = touch(tmp_path, f"train/{normal}/0.png", f"test/{normal}/1.png", "test/cut/1.png")
    category = read_category("set", "c", root)
    assert [sample.defect for sample in category.test] == [None, "cut"]


def drawn(root, values, mode="L"):
    """A category with one defective image whose mask is this file."""
    for n in range(3):
        write_image(root / f"train/good/{n}.png", n)
    write_image(root / "test/cut/0.png", 5)
    write_mask(root / "ground_truth/cut/0_mask.png", values, mode)
    return root


def faults(root):
    report = verify_category("set", "c", root, FOLDER_READER)
    return [problem.kind for problem in report.problems]


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        (box(2, 2), None),
        (box(0, 0), None),
        (box(2, 2) * 0, "empty mask"),
        (255 - box(2, 2), "inverted mask"),
        (box(2, 2) * 0 + 255, "marks the whole image"),
        (box(2, 2) // 2 + 1, "background is not zero"),
    ],
)
def test_verify_says_what_is_wrong_with_a_mask(tmp_path, values, fault):
    found = faults(drawn(tmp_path, values))
    assert [fault in kind for kind in found] == ([True] if fault else [])


@pytest.mark.parametrize("color", [0, 255])
def test_verify_finds_a_mask_drawn_in_alpha(tmp_path, color):
    root = drawn(tmp_path, box(2, 2))
    file = root / "ground_truth/cut/0_mask.png"
    plain = Image.new("RGB", (12, 10), (color,) * 3)
    plain.putalpha(Image.fromarray(box(2, 2)))
    plain.save(file)
    assert any("alpha channel" in kind for kind in faults(root))
