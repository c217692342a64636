"""Sets that differ from MVTec AD in the names of their folders: BTAD, AD 2, LOCO, MPDD."""

import json
import re

import numpy as np
import pytest
from dataset_files import box, names, write_image, write_mask

from datasets_lib.cache.decode_cache import DecodeCache
from datasets_lib.discover import recognize
from datasets_lib.layouts.category import DatasetError
from datasets_lib.sets import btad, mvtec_ad2, mvtec_loco, mvtec_loco_regions


def decoded_masks(samples, tmp_path):
    """Masks as models get them, at the images' own height so that nothing is resampled."""
    return DecodeCache(tmp_path / "cache").get(samples, 10).masks


def write_btad(root):
    """Products as published: 01 BMP with PNG masks, 02 PNG with PNG, 03 BMP with BMP."""
    for product, image, mask, mode in (
        ("01", "bmp", "png", "L"),
        ("02", "png", "png", "P"),
        ("03", "bmp", "bmp", "1"),
    ):
        for n in range(3):
            write_image(root / product / "train" / "ok" / f"{n:04}.{image}", n, (10, 10))
        write_image(root / product / "test" / "ok" / f"0010.{image}", 4, (10, 10))
        for n in range(2):
            write_image(root / product / "test" / "ko" / f"{n:04}.{image}", 5 + n, (10, 10))
            value = 255 if product == "03" else 1 + 100 * n
            write_mask(
                root / product / "ground_truth" / "ko" / f"{n:04}.{mask}",
                box(n, n, value, (10, 10)),
                mode,
            )
    return root


@pytest.mark.parametrize(
    ("product", "image", "mask"), [("01", "bmp", "png"), ("02", "png", "png"), ("03", "bmp", "bmp")]
)
def test_btad_reads_its_mixed_formats(tmp_path, product, image, mask):
    root = write_btad(tmp_path / "BTech_Dataset_transformed")
    found = recognize(root)
    assert (found.name, list(found.categories)) == ("btad", ["01", "02", "03"])
    path = root / product
    category = btad.ENTRY.reader("btad", product, path)
    assert names(category.train) == [f"train/ok/000{n}.{image}" for n in range(3)]
    assert names(category.test) == [
        f"test/ok/0010.{image}",
        f"test/ko/0000.{image}",
        f"test/ko/0001.{image}",
    ]
    assert [sample.defect for sample in category.test] == [None, "ko", "ko"]
    truth = path / "ground_truth" / "ko"
    assert [s.masks for s in category.test[1:]] == [(truth / f"{n:04}.{mask}",) for n in range(2)]
    assert category.has_masks
    expected = [box(0, 0, 0, (10, 10)), box(0, 0, 1, (10, 10)), box(1, 1, 1, (10, 10))]
    np.testing.assert_array_equal(decoded_masks(category.test, tmp_path), expected)


def write_ad2(root):
    can = root / "can"
    for split, count in (("train", 3), ("validation", 2)):
        for n in range(count):
            write_image(can / split / "good" / f"{n:03}_regular.png", n)
    write_image(can / "test_public" / "good" / "000_overexposed.png", 5)
    for n in range(2):
        write_image(can / "test_public" / "bad" / f"{n:03}_shift_1.png", 6 + n)
        write_mask(
            can / "test_public" / "ground_truth" / "bad" / f"{n:03}_shift_1_mask.png", box(n, 1)
        )
    for split in ("test_private", "test_private_mixed"):
        write_image(can / split / "000_mixed.png", 9)
    return root


def test_ad2_reads_only_its_validation_and_public_splits(tmp_path):
    found = recognize(write_ad2(tmp_path / "mvtec_ad_2"))
    assert (found.name, list(found.categories)) == ("mvtec_ad2", ["can"])
    category = mvtec_ad2.ENTRY.reader("mvtec_ad2", "can", found.categories["can"])
    assert names(category.train) == [f"train/good/{n:03}_regular.png" for n in range(3)]
    assert names(category.validation) == [f"validation/good/{n:03}_regular.png" for n in range(2)]
    assert names(category.test) == [
        "test_public/good/000_overexposed.png",
        "test_public/bad/000_shift_1.png",
        "test_public/bad/001_shift_1.png",
    ]
    assert [sample.defect for sample in category.test] == [None, "bad", "bad"]
    assert all(sample.masks for sample in category.test[1:])


@pytest.mark.parametrize("emptied", ["train/good", "validation/good", "test_public"])
def test_ad2_with_an_empty_split_is_refused(tmp_path, emptied):
    path = write_ad2(tmp_path) / "can"
    for file in sorted((path / emptied).rglob("*.png")):
        file.unlink()
    with pytest.raises(DatasetError, match=re.escape(str(path / emptied))):
        mvtec_ad2.ENTRY.reader("mvtec_ad2", "can", path)


def write_loco(root):
    path = root / "pushpins"
    for split, count in (("train", 3), ("validation", 1)):
        for n in range(count):
            write_image(path / split / "good" / f"{n:03}.png", n, (10, 10))
    write_image(path / "test" / "good" / "000.png", 5, (10, 10))
    for kind in ("logical_anomalies", "structural_anomalies"):
        write_image(path / "test" / kind / "000.png", 6, (10, 10))
        for n, value in enumerate((240, 7)[: 2 if kind.startswith("log") else 1]):
            mask = box(4 * n, 5 * n, value, (10, 10))
            write_mask(path / "ground_truth" / kind / "000" / f"{n:03}.png", mask)
    config = [
        {
            "defect_name": "missing_pushpin",
            "pixel_value": 240,
            "saturation_threshold": 6300,
            "relative_saturation": False,
        },
        {
            "defect_name": "broken",
            "pixel_value": 7,
            "saturation_threshold": 0.5,
            "relative_saturation": True,
        },
    ]
    (path / "defects_config.json").write_text(json.dumps(config), encoding="utf-8")
    return path


def test_loco_joins_several_masks_of_an_image(tmp_path):
    path = write_loco(tmp_path / "mvtec_loco_anomaly_detection")
    found = recognize(path.parent)
    assert (found.name, dict(found.categories)) == ("mvtec_loco", {"pushpins": path})
    category = mvtec_loco.ENTRY.reader("mvtec_loco", "pushpins", path)
    assert names(category.validation) == ["validation/good/000.png"]
    kinds = [None, "logical_anomalies", "structural_anomalies"]
    assert [sample.defect for sample in category.test] == kinds
    truth = path / "ground_truth" / "logical_anomalies" / "000"
    assert category.test[1].masks == (truth / "000.png", truth / "001.png")
    masks = decoded_masks(category.test, tmp_path)
    np.testing.assert_array_equal(masks[1], box(0, 0, 1, (10, 10)) | box(4, 5, 1, (10, 10)))
    np.testing.assert_array_equal(masks[2], box(0, 0, 1, (10, 10)))


def test_loco_with_an_empty_mask_folder_is_refused(tmp_path):
    path = write_loco(tmp_path)
    (path / "ground_truth" / "structural_anomalies" / "000" / "000.png").unlink()
    with pytest.raises(DatasetError, match=r"1 of 2 .*test/structural_anomalies/000\.png"):
        mvtec_loco.ENTRY.reader("mvtec_loco", "pushpins", path)


def test_loco_saturation_is_absolute_or_relative(tmp_path):
    saturation = mvtec_loco_regions.read_saturation(write_loco(tmp_path))
    assert {value: s.defect for value, s in saturation.items()} == {
        240: "missing_pushpin",
        7: "broken",
    }
    # Absolute thresholds are pixels, of the whole defect at most; relative ones are shares.
    assert [saturation[240].area(n) for n in (100, 10_000)] == [100, 6300]
    assert saturation[7].area(10_000) == 5000


@pytest.mark.parametrize(
    "content",
    [b"{}x", b"[1]", b'[{"pixel_value": 1}]', b"\xff", b"[" * 100_000]
    + [
        b'[{"defect_name": "a", "pixel_value": %s, "saturation_threshold": %s,'
        b' "relative_saturation": true}]' % pair
        for pair in ((b"0", b"1"), (b"256", b"1"), (b"1", b"0"), (b"1", b"NaN"))
    ],
)
def test_loco_with_a_damaged_config_is_refused(tmp_path, content):
    path = write_loco(tmp_path)
    (path / "defects_config.json").write_bytes(content)
    with pytest.raises(DatasetError, match=r"defects_config\.json.*pixel_value"):
        mvtec_loco_regions.read_saturation(path)


def test_mpdd_reads_as_mvtec_does(tmp_path):
    for n in range(2):
        write_image(tmp_path / "MPDD" / "tubes" / "train" / "good" / f"{n:03}.png", n)
    write_image(tmp_path / "MPDD" / "tubes" / "test" / "anomalous" / "000.png", 3)
    write_mask(
        tmp_path / "MPDD" / "tubes" / "ground_truth" / "anomalous" / "000_mask.png", box(1, 1)
    )
    found = recognize(tmp_path / "MPDD")
    assert (found.name, found.reader) == ("mpdd", "datasets_lib.layouts.mvtec_folders:MVTEC.read")
