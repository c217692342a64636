"""Masks under the names and in the places that people use: found, or an error that names them."""

import re
import unicodedata

import pytest
from dataset_files import box, names, touch, write_image, write_mask
from PIL import Image

from datasets_lib.discover import recognize
from datasets_lib.entry import FOLDER_READER
from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.custom_names import read_category as read_named
from datasets_lib.layouts.masks import MissingMasksError, image_key_of, is_truth_folder
from datasets_lib.layouts.mvtec_folders import MVTEC
from datasets_lib.layouts.plain_folders import read_category as read_plain
from datasets_lib.resolve import resolve_callable
from datasets_lib.verify.sets import verify_category

NAMES = [
    *("{}.png", "{}_mask.png", "{}_Mask.PNG", "{}-mask.png", "{} mask.png", "{}.mask.png"),
    *("{}_gt.png", "{}_GT.bmp", "mask_{}.png", "gt-{}.tif", "{}.png.png", "{}.jpg.png"),
    *("{}_label.bmp", "{}_labels.png", "{}_groundtruth.png", "{}_ground_truth.png", "{}_seg.tiff"),
]
FOLDERS = [
    *("ground_truth", "Ground_Truth", "GroundTruth", "ground-truth", "ground truth", "gt", "GT"),
    *("mask", "masks", "Masks", "gt_masks", "labels", "annotations"),
    *("ground_truth_masks", "segmentation_masks", "pixel_labels", "GT_bin", "mask_gt"),
]
PLAIN = ("good/0.png", "good/1.png", "bad/dent/000.png")
NAMED = tuple(f"data_rgb/{file} 50 1.png" for file in ("ok/cap", "dent/cap", "ok/rod"))


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
    category = MVTEC.read("set", "c", mvtec(tmp_path, mask, truth))
    assert category.has_masks
    assert masks_of(category) == [[mask.format(f"{n:03}")] for n in range(2)]
    assert [sample.defect for sample in category.test] == [None, "scratch", "scratch"]


@pytest.mark.parametrize("truth", FOLDERS)
def test_folders_of_every_name_are_searched(tmp_path, truth):
    assert MVTEC.read("set", "c", mvtec(tmp_path / "mvtec", truth=truth)).has_masks
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
    category = MVTEC.read("set", "c", root)
    assert names(category.train) == ["train/good/0.png"]
    assert names(category.test) == [
        "test/good/0.png",
        "test/scratch/000.png",
        "test/scratch/001.png",
    ]
    assert masks_of(category) == [[mask.format(f"{n:03}")] for n in range(2)]


def test_an_image_may_be_called_as_a_mask_is(tmp_path):
    root = touch(tmp_path, "train/good/0.png", "test/cut/red_label.png", "test/cut/blue_label.png")
    assert len(MVTEC.read("set", "c", root).test) == 2


@pytest.mark.parametrize("kind", ["label", "segment", "mask_edge"])
def test_a_kind_of_defect_may_be_called_as_an_annotation_is(tmp_path, kind):
    category = MVTEC.read("set", "c", mvtec(tmp_path, kind=kind))
    assert [sample.defect for sample in category.test[1:]] == [kind, kind]
    assert category.has_masks


@pytest.mark.parametrize("mask", ["truth{}.png", "x{}.png", "{}_mask_final.png"])
def test_masks_of_other_names_are_an_error_that_names_the_first(tmp_path, mask):
    root = mvtec(tmp_path, mask)
    with pytest.raises(MissingMasksError, match="named after none") as caught:
        MVTEC.read("set", "c", root)
    assert str(root / "ground_truth/scratch" / mask.format("000")) in str(caught.value)
    assert "test/scratch/000.png" in str(caught.value)


@pytest.mark.parametrize(
    "mask",
    [
        "ground_truth/test/scratch/000_mask.png",
        "Masks/Test/Scratch/000.png",
        "ground_truth/scratch/png/000_mask.png",
        "ground_truth/scratch/TIF/000.tif",
        "ground_truth/test/scratch/masks/000.png",
        "ground_truth/test/scratch/000/1.png",
        "test/scratch/masks/bmp/000.bmp",
    ],
)
def test_folders_that_repeat_a_path_or_name_a_format_are_searched(tmp_path, mask):
    root = touch(tmp_path, "train/good/0.png", "test/good/0.png", "test/scratch/000.png", mask)
    category = MVTEC.read("set", "c", root)
    assert category.has_masks
    assert category.test[1].masks == (root / mask,)


@pytest.mark.parametrize(
    "mask", ["masks/data_rgb/dent/{}", "masks/dent/png/{}", "data_rgb/dent/masks/{}"]
)
def test_such_folders_are_searched_for_images_with_names(tmp_path, mask):
    mask = mask.format("cap 50 1.png")
    category = read_named("set", "cap", touch(tmp_path, *NAMED, mask))
    assert [sample.masks for sample in category.test if sample.defect] == [(tmp_path / mask,)]


@pytest.mark.parametrize("mask", ["masks/bad/dent/000.png", "bad/dent/labels/000.png"])
def test_such_folders_are_searched_for_plain_folders(tmp_path, mask):
    category = read_plain("set", "all", touch(tmp_path, *PLAIN, mask))
    assert [sample.masks for sample in category.test if sample.defect] == [(tmp_path / mask,)]


ELSEWHERE = [
    *("ground_truth/scratches/{}", "ground_truth/bad/{}", "ground_truth/scratch_mask/{}"),
    *("ground_truth/all/scratch/{}", "ground_truth/good/{}", "masks/train_test/scratch/{}"),
    *("scratch_masks/{}", "masks_v2/scratch/{}", "client GT/{}", "test/scratch/annotated/{}"),
    *("test/scratch/masks/left/{}", "masks/train_test/000/{}", "defect_labels/{}"),
]


@pytest.mark.parametrize("folder", ELSEWHERE)
@pytest.mark.parametrize("name", ["000.png", "000_mask.png", "mask_000.bmp"])
def test_masks_in_a_folder_of_another_name_are_an_error_that_names_it(tmp_path, folder, name):
    mask = folder.format(name)
    root = touch(tmp_path, "train/good/0.png", "test/good/0.png", "test/scratch/000.png", mask)
    with pytest.raises(MissingMasksError, match="in other folders") as caught:
        MVTEC.read("set", "c", root)
    assert str(root / mask) in str(caught.value)
    assert "test/scratch/000.png" in str(caught.value)


@pytest.mark.parametrize("folder", ["anno", "stuff/scratch", "test/scratch/binary"])
@pytest.mark.parametrize("name", ["000_mask.png", "mask_000.bmp", "000-gt.tif"])
def test_masks_that_say_whose_they_are_are_an_error_in_a_folder_of_any_name(tmp_path, folder, name):
    mask = f"{folder}/{name}"
    root = touch(tmp_path, "train/good/0.png", "test/good/0.png", "test/scratch/000.png", mask)
    with pytest.raises(MissingMasksError, match="in other folders") as caught:
        MVTEC.read("set", "c", root)
    assert str(root / mask) in str(caught.value)


@pytest.mark.parametrize("folder", ["masks/dents", "masks/all/dent", "dent_masks"])
@pytest.mark.parametrize("name", ["cap 50 1.png", "cap 50 1_mask.png", "mask_cap 50 1.png"])
def test_an_error_names_masks_elsewhere_of_images_with_names(tmp_path, folder, name):
    root = touch(tmp_path, *NAMED, f"{folder}/{name}", "data_rgb/ok/cap 50 2.png")
    with pytest.raises(MissingMasksError, match="in other folders") as caught:
        read_named("set", "cap", root)
    assert str(root / folder / name) in str(caught.value)


def test_masks_named_after_no_category_are_an_error_where_masks_lack(tmp_path):
    root = touch(tmp_path, *NAMED, "masks/dent/001.png", "data_rgb/ok/rod 50 2.png")
    with pytest.raises(MissingMasksError, match=r"001\.png, named after none"):
        read_named("set", "cap", root)
    assert read_named("set", "rod", root).test


def test_masks_of_another_category_do_not_concern_one_without(tmp_path):
    root = touch(tmp_path, *NAMED, "masks/dent/rod 50 1.png", "data_rgb/dent/rod 50 1.png")
    assert not read_named("set", "cap", root).has_masks


@pytest.mark.parametrize("folder", ["masks/dents", "bad_masks", "bad/dent/annotated"])
def test_an_error_names_masks_elsewhere_of_plain_folders(tmp_path, folder):
    root = touch(tmp_path, *PLAIN, f"{folder}/000.png")
    with pytest.raises(MissingMasksError, match="in other folders") as caught:
        read_plain("set", "all", root)
    assert str(root / folder / "000.png") in str(caught.value)


def test_of_many_masks_elsewhere_the_first_three_are_named(tmp_path):
    images = [f"test/scratch/{n}.png" for n in range(5)]
    masks = [f"ground_truth/scratches/{n}.png" for n in range(5)]
    root = touch(tmp_path, "train/good/0.png", *images, *masks)
    with pytest.raises(MissingMasksError) as caught:
        MVTEC.read("set", "c", root)
    named = [mask for mask in masks if str(root / mask) in str(caught.value)]
    assert named == masks[:3]


@pytest.mark.parametrize(
    "file",
    [
        *("originals/000.png", "masked_images/000.png", "unannotated/000.png"),
        *("test/scratch/raw/000.png", "test/scratch/segments/000.png", "label_side/000.png"),
        *("annotated/999.png", "train/good/000_mask.png"),
        *("ground_truth/.trash/000_mask.png", "ground_truth/@eaDir/000_mask.png/thumb.png"),
        *("annotated/000.json", "ground_truth/readme.txt"),
    ],
)
def test_other_folders_of_images_are_no_masks(tmp_path, file):
    root = touch(tmp_path, "train/good/0.png", "test/good/0.png", "test/scratch/000.png", file)
    assert not MVTEC.read("set", "c", root).has_masks


ABOVE = {
    "single, flat": ("normal/0.png normal/1.png abnormal/2.png", "masks/2.png"),
    "single, by folder": ("normal/0.png normal/1.png abnormal/2.png", "masks/abnormal/2_mask.png"),
    "single, VisA": ("Normal/0.JPG Normal/1.JPG Anomaly/2.JPG", "Masks/Anomaly/2.png"),
    "by category": ("good/0.png good/1.png bad/dent/2.png", "masks/nut/dent/2.png"),
    "by category, flat": ("normal/0.png normal/1.png abnormal/2.png", "masks/Nut/2.png"),
    "MVTec": ("train/good/0.png test/dent/2.png", "ground_truth/nut/dent/2_mask.png"),
    "MVTec, single": ("train/good/0.png test/dent/2.png", "ground_truth/dent/2_mask.png"),
}


def read_nut(root, images, mask, categories=("nut",)):
    """Write and read the first category of a set whose masks lie next to its categories."""
    for category in categories:
        touch(root / category, *images.split())
    dataset = recognize(touch(root, mask))
    assert set(dataset.categories) == set(categories)
    return resolve_callable(dataset.reader)("set", "nut", dataset.categories["nut"])


@pytest.mark.parametrize("name", ABOVE)
def test_masks_next_to_the_categories_are_found(tmp_path, name):
    images, mask = ABOVE[name]
    category = read_nut(tmp_path / "set", images, mask)
    assert category.has_masks
    assert masks_of(category) == [[mask.split("/")[-1]]]


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        ("masks/2.png", "masks/2.png, in other folders"),
        ("masks/abnormal/2.png", "masks/abnormal/2.png, in other folders"),
        ("masks/nut/9.png", "masks/nut/9.png, named after none of them"),
        ("masks/nut/2.jpg", "masks/nut/2.jpg is not in a mask format"),
        ("masks/bolt/2.png", None),
        ("masks/other/9.png", None),
    ],
)
def test_masks_next_to_several_categories_need_their_folder(tmp_path, mask, said):
    wanted = tmp_path / "set", "normal/0.png normal/1.png abnormal/2.png", mask, ("nut", "bolt")
    if said is None:
        assert not read_nut(*wanted).has_masks
        return
    with pytest.raises(MissingMasksError, match=re.escape(said)):
        read_nut(*wanted)


def test_masks_next_to_a_set_without_categories_are_of_others(tmp_path):
    touch(tmp_path, "parts/normal/0.png", "parts/normal/1.png", "parts/abnormal/2.png")
    touch(tmp_path, "masks/2.png")
    [(category, path)] = recognize(tmp_path / "parts").categories.items()
    assert not read_plain("parts", category, path).has_masks


def test_a_kind_may_be_called_as_a_folder_of_masks_is(tmp_path):
    root = touch(tmp_path, "good/0.png", "good/1.png", "bad/1.png", "bad/label/1.png")
    category = read_plain("set", "all", root)
    assert not category.has_masks
    assert [sample.defect for sample in category.test if sample.defect] == ["bad", "label"]


@pytest.mark.parametrize("mask", ["{}.jpg", "{}_gt.jpg", "{}_mask.webp"])
def test_masks_of_no_mask_format_are_an_error_wherever_they_lie(tmp_path, mask):
    with pytest.raises(MissingMasksError, match="not in a mask format"):
        MVTEC.read("set", "c", mvtec(tmp_path, mask, truth="gt"))


@pytest.mark.parametrize("folder", ["labels", "annotations"])
@pytest.mark.parametrize("suffix", [".txt", ".json", ".xml"])
def test_annotations_of_other_kinds_are_no_masks(tmp_path, folder, suffix):
    root = mvtec(tmp_path / "set", f"{{}}{suffix}", folder)
    assert not MVTEC.read("set", "c", root).has_masks
    touch(tmp_path / "classes", *(f"{s}/{c}/1.png" for s in ("train", "test") for c in "ab"))
    touch(tmp_path / "classes", f"{folder}/1{suffix}")
    assert recognize(tmp_path / "classes").task == "classification"


def test_a_mask_of_two_images_is_refused(tmp_path):
    root = touch(tmp_path, "train/good/0.png", "test/a/1.png", "test/b/1.png", "masks/1.png")
    with pytest.raises(DatasetError, match=r"test/a/1\.png and test/b/1\.png"):
        MVTEC.read("set", "c", root)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("other", ["NFC", "NFD"])
def test_normal_forms_of_names_are_equal(tmp_path, form, other):
    kind, stem = "긁힘", "é새"
    touch(tmp_path, "train/good/1.png", "test/good/1.png")
    touch(tmp_path, unicodedata.normalize(form, f"test/{kind}/{stem}.png"))
    touch(tmp_path, unicodedata.normalize(other, f"ground_truth/{kind}/{stem}_mask.png"))
    category = MVTEC.read("set", "c", tmp_path)
    assert category.has_masks
    assert category.test[1].name == unicodedata.normalize("NFC", f"test/{kind}/{stem}.png")
    assert category.test[1].defect == unicodedata.normalize("NFC", kind)


@pytest.mark.parametrize("word", FOLDERS)
def test_words_of_folders_are_known(word):
    assert is_truth_folder(word)


@pytest.mark.parametrize("normal", ["Good", "GOOD", "ok", "Normal"])
def test_normal_folders_are_known_in_every_case(tmp_path, normal):
    root = touch(tmp_path, f"train/{normal}/0.png", f"test/{normal}/1.png", "test/cut/1.png")
    category = MVTEC.read("set", "c", root)
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
