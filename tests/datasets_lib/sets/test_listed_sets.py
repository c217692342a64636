"""Sets whose own lists split them: VisA's table, Real-IAD's JSON; and KolektorSDD's labels."""

import json
import re

import numpy as np
import pytest
from dataset_files import (
    box,
    names,
    visa_rows,
    write_image,
    write_kolektor,
    write_mask,
    write_real_iad,
    write_visa,
)

from datasets_lib.cache.decode_cache import DecodeCache
from datasets_lib.discover import recognize
from datasets_lib.layouts.category import DatasetError
from datasets_lib.sets import kolektor_sdd, real_iad, visa


def test_visa_is_split_by_its_table(tmp_path):
    root = tmp_path / "VisA_20220922"
    write_visa(root, encoding="utf-8-sig")
    found = recognize(root)
    assert (found.name, list(found.categories)) == ("visa", ["candle", "pcb1"])
    category = visa.read("visa", "candle", found.categories["candle"])
    assert names(category.train) == [f"Data/Images/Normal/000{n}.JPG" for n in (0, 1, 3)]
    assert names(category.test) == [
        "Data/Images/Normal/0002.JPG",
        "Data/Images/Anomaly/000.JPG",
        "Data/Images/Anomaly/001.JPG",
    ]
    assert [sample.defect for sample in category.test] == [None, "anomaly", "anomaly"]
    assert category.has_masks
    # Masks hold indices of classes, 1 and 2 here; all of them are defects.
    masks = DecodeCache(tmp_path / "cache").get(category.test, 10).masks
    assert [int(mask.any()) for mask in masks] == [0, 1, 1]


def test_visa_without_its_table_is_found_and_says_what_is_missing(tmp_path):
    table = write_visa(tmp_path / "visa")
    table.unlink()
    path = recognize(tmp_path / "visa").categories["pcb1"]
    with pytest.raises(DatasetError, match=re.escape(str(table))):
        visa.read("visa", "pcb1", path)


IMAGE = "candle/Data/Images/Normal/0000.JPG"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("candle,train,normal,../candle/Data/Images/Normal/0000.JPG,", "inside"),
        ("candle,train,normal,candle/../../secret.png,", "inside"),
        ("candle,train,normal,/etc/hostname,", "inside"),
        ("candle,train,normal,candle//etc/hostname,", "inside"),
        ("candle,train,normal,C:/x.JPG,", "inside"),
        (r"candle,train,normal,candle\Data\Images\Normal\0000.JPG,", "inside"),
        ("candle,train,normal,candle/Data/Images/Normal/9999.JPG,", "9999.JPG"),
        ("candle,train,normal,candle/Data/Images/Normal,", "not in"),
        ("candle,train,normal,pcb1/Data/Images/Normal/0000.JPG,", "not in"),
        (f"candle,train,normal,{'x' * 5000},", "not in"),
        ("candle,train,normal,,", "an image"),
        (f"candle,val,normal,{IMAGE},", "'val'"),
        (f"candle,test,good,{IMAGE},", "'good'"),
        (f"candle,train,anomaly,{IMAGE},{IMAGE}", "'anomaly'"),
        (f"candle,test,anomaly,{IMAGE},", "a mask for anomalies only"),
        (f"candle,test,normal,{IMAGE},{IMAGE}", "a mask for anomalies only"),
        ("candle,test,normal,candle/Data/Images/Normal/0002.JPG,", "again"),
        (f"candle,train,normal,{IMAGE}", "4 fields"),
        (f"candle,train,normal,{IMAGE},,", "6 fields"),
        ('candle,train,normal,"candle/Data', "unexpected end"),
    ],
)
def test_a_bad_line_of_visas_table_is_an_error_with_its_number(tmp_path, row, problem):
    rows = [row for row in visa_rows("candle") if IMAGE not in row]
    table = write_visa(tmp_path, [*rows, row])
    with pytest.raises(DatasetError, match=re.escape(str(table))) as caught:
        visa.read("visa", "candle", tmp_path / "candle")
    assert problem in str(caught.value)
    assert "Restore the table" in str(caught.value)
    if "unexpected" not in problem:
        assert "ine 7 " in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"image,label\r\n",
        b"object;split;label;image;mask\r\n",
        b"object,split,label,image,mask\r\ncandle,train,normal,\xff\xfe,\r\n",
        b"object,split,label,image,mask\r\n",
    ],
)
def test_a_damaged_table_of_visa_is_an_error_naming_it(tmp_path, content):
    table = write_visa(tmp_path)
    table.write_bytes(content)
    with pytest.raises(DatasetError, match=re.escape(str(table))):
        visa.read("visa", "candle", tmp_path / "candle")


def test_visa_in_mvtec_style_is_read_as_that(tmp_path):
    root = tmp_path / "visa"
    write_image(root / "candle" / "train" / "good" / "0.JPG")
    write_image(root / "candle" / "test" / "good" / "1.JPG")
    found = recognize(root)
    assert (found.name, found.reader) == ("visa", "datasets_lib.layouts.mvtec_folders:MVTEC.read")


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("size", real_iad.SIZES)
def test_real_iad_is_split_by_its_json(tmp_path, size, nested):
    write_real_iad(tmp_path / "Real-IAD", size, nested)
    found = recognize(tmp_path / "Real-IAD")
    assert (found.name, list(found.categories)) == ("real_iad", ["audiojack"])
    category = real_iad.read("real_iad", "audiojack", found.categories["audiojack"])
    assert names(category.train) == [
        f"OK/S000{n}/audiojack_000{n}_OK_C1_2023.jpg" for n in range(3)
    ]
    assert [sample.defect for sample in category.test] == [None, "BX", "QS"]
    bent = category.test[1]
    assert bent.masks == (bent.image.with_suffix(".png"),)
    assert category.has_masks


def test_of_several_sizes_of_real_iad_the_first_is_read(tmp_path):
    write_real_iad(tmp_path / "real_iad", "realiad_256")
    (tmp_path / "real_iad" / "realiad_512" / "audiojack").mkdir(parents=True)
    path = recognize(tmp_path / "real_iad").categories["audiojack"]
    assert path.parent.name == "realiad_512"


def _edited(file, edit):
    data = json.loads(file.read_bytes())
    edit(data)
    return json.dumps(data).encode()


@pytest.mark.parametrize(
    "edit",
    [
        lambda data: data["train"][0].update(image_path="../../x.jpg"),
        lambda data: data["train"][0].update(image_path="/etc/hostname"),
        lambda data: data["train"][0].update(image_path="OK/gone.jpg"),
        lambda data: data["train"][0].update(image_path=3),
        lambda data: data["train"][0].pop("image_path"),
        lambda data: data["test"][1].update(mask_path="NG/gone.png"),
        lambda data: data.update(train=[]),
        lambda data: data.update(test=[]),
        lambda data: data.update(train=data["test"]),
        lambda data: data.update(meta=None),
        lambda data: data.pop("test"),
    ],
)
def test_a_wrong_json_of_real_iad_is_an_error_naming_it(tmp_path, edit):
    file = write_real_iad(tmp_path)
    file.write_bytes(_edited(file, edit))
    with pytest.raises(DatasetError, match=re.escape(str(file))):
        real_iad.read("real_iad", "audiojack", tmp_path / "realiad_1024" / "audiojack")


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{", b"\xff\xff"])
def test_a_damaged_json_of_real_iad_is_an_error_naming_it(tmp_path, content):
    file = write_real_iad(tmp_path)
    file.write_bytes(content)
    with pytest.raises(DatasetError, match=re.escape(str(file))):
        real_iad.read("real_iad", "audiojack", tmp_path / "realiad_1024" / "audiojack")


def test_kolektor_tells_defects_by_their_labels(tmp_path):
    root = write_kolektor(tmp_path / "KolektorSDD")
    found = recognize(root)
    assert (found.name, dict(found.categories)) == ("kolektor_sdd", {"commutator": root})
    category = kolektor_sdd.read("kolektor_sdd", "commutator", root)
    defects = [sample for sample in category.test if sample.defect]
    assert names(defects) == ["kos01/Part1.jpg", "kos03/Part0.jpg"]
    assert [s.masks for s in defects] == [
        (root / "kos01" / "Part1_label.bmp",),
        (root / "kos03" / "Part0_label.bmp",),
    ]
    # A fifth of ten normal images is two; nothing is lost or on both sides.
    assert (len(category.train), len(category.test)) == (8, 4)
    every = {f"kos{item:02}/Part{part}.jpg" for item in range(1, 5) for part in range(3)}
    assert {*names(category.train), *names(category.test)} == every
    masks = DecodeCache(tmp_path / "cache").get(defects, 10).masks
    assert np.asarray(masks).any(axis=(1, 2)).all()


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated"])
def test_kolektor_with_a_bad_label_is_an_error_naming_it(tmp_path, damage):
    root = write_kolektor(tmp_path)
    label = root / "kos02" / "Part1_label.bmp"
    content = label.read_bytes()
    label.unlink()
    if damage != "missing":
        label.write_bytes(content[: 60 if damage == "truncated" else 0])
    with pytest.raises(DatasetError, match=re.escape(str(label))):
        kolektor_sdd.read("kolektor_sdd", "commutator", root)


def test_kolektor_without_normal_images_is_an_error(tmp_path):
    write_image(tmp_path / "kos01" / "Part0.jpg")
    write_mask(tmp_path / "kos01" / "Part0_label.bmp", box(1, 1))
    with pytest.raises(DatasetError, match="0 normal and 1 defective"):
        kolektor_sdd.read("kolektor_sdd", "commutator", tmp_path)
