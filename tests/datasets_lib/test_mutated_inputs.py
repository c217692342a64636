"""Damaged images, lists and names: an error that names the file, or what is there, read right."""

import csv
import json
import os
import warnings
from contextlib import contextmanager
from io import BytesIO, StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from dataset_files import box, write_image, write_mask, write_real_iad, write_visa
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import mutated
from PIL import Image

from datasets_lib.cache.decode_cache import DecodeCache
from datasets_lib.layouts import custom_names
from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.mvtec_folders import MVTEC
from datasets_lib.sets import real_iad, visa

SIZE = 8


def examples(count):
    return settings(max_examples=count, derandomize=True, deadline=None, database=None)


@contextmanager
def folder_for_one_example():
    with TemporaryDirectory() as path:
        yield Path(path)


def outcome(read):
    """What a reader gives, or the one error it may raise."""
    try:
        return read()
    except DatasetError as error:
        return error


def write_category(root):
    """One file of every kind that a flipped byte may turn into another."""
    for n, suffix in enumerate(("png", "jpg", "bmp")):
        write_image(root / "train" / "good" / f"{n}.{suffix}", n)
        write_image(root / "test" / "scratch" / f"{n}.{suffix}", 10 + n)
        write_mask(root / "ground_truth" / "scratch" / f"{n}.png", box(n, n, 1 + n))
    write_mask(root / "ground_truth" / "scratch" / "2.bmp", box(2, 2, 9))
    (root / "ground_truth" / "scratch" / "2.png").unlink()
    return root


def assert_clean(cache):
    """Nothing half-built is left: every entry has its manifest and all of its pixels."""
    for entry in (cache / "decoded").glob("*") if cache.exists() else ():
        assert not entry.name.startswith(".")
        rows = json.loads((entry / "entry.json").read_bytes())["rows"]
        assert (entry / "images.u8").stat().st_size == len(rows) * SIZE * SIZE * 3
        if (entry / "masks.u8").exists():
            assert (entry / "masks.u8").stat().st_size == len(rows) * SIZE * SIZE


def plainly_decoded(content):
    """What Pillow makes of the bytes; None where it cannot."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(BytesIO(content)).convert("RGB")
        except Exception:
            return None
        return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR))


with folder_for_one_example() as _written:
    write_category(_written)
    CONTENTS = {
        file.relative_to(_written).as_posix(): file.read_bytes()
        for file in sorted(_written.rglob("*.*"))
    }


@examples(20)
@given(
    st.sampled_from(sorted(CONTENTS)).flatmap(
        lambda name: st.tuples(st.just(name), mutated(CONTENTS[name]))
    )
)
def test_a_damaged_image_or_mask_is_named_or_read_as_it_is(case):
    name, content = case
    with folder_for_one_example() as root:
        write_category(root)
        (root / name).write_bytes(content)
        category = MVTEC.read("set", "cat", root)
        samples = [*category.train, *category.test]
        cache = DecodeCache(root / "cache")
        found = outcome(lambda: cache.get(samples, SIZE).images)
        if isinstance(found, DatasetError):
            assert Path(name).stem in str(found)
            assert str(root) in str(found)
        else:
            for sample, image in zip(samples, found, strict=True):
                np.testing.assert_array_equal(image, plainly_decoded(sample.image.read_bytes()))
        assert_clean(root / "cache")
        # Once restored, the file is read: nothing of the damaged one was kept under its name.
        (root / name).write_bytes(CONTENTS[name])
        images = cache.get(samples, SIZE).images
        np.testing.assert_array_equal(images[0], plainly_decoded(CONTENTS["train/good/0.png"]))
        assert_clean(root / "cache")


with folder_for_one_example() as _written:
    VISA = write_visa(_written).read_bytes()


@examples(12)
@given(mutated(VISA))
def test_a_damaged_table_of_visa_is_named_or_read_as_it_is(content):
    with folder_for_one_example() as root:
        table = write_visa(root)
        table.write_bytes(content)
        category = outcome(lambda: visa.read("visa", "candle", root / "candle"))
        if isinstance(category, DatasetError):
            assert str(table) in str(category)
            return
        rows = [
            row
            for row in csv.DictReader(StringIO(content.decode("utf-8-sig"), newline=""))
            if row["object"] == "candle"
        ]
        for split, samples in (("train", category.train), ("test", category.test)):
            told = {(row["image"], row["mask"]) for row in rows if row["split"] == split}
            assert {_as_told(sample, root) for sample in samples} == told
            assert all(file.is_file() for sample in samples for file in sample.files)


def _as_told(sample, root):
    return tuple(
        file.relative_to(root).as_posix() if file else ""
        for file in (sample.image, sample.masks[0] if sample.masks else None)
    )


with folder_for_one_example() as _written:
    REAL_IAD = write_real_iad(_written).read_bytes()


@examples(12)
@given(mutated(REAL_IAD))
def test_a_damaged_json_of_real_iad_is_named_or_leads_to_files_inside(content):
    with folder_for_one_example() as root:
        file = write_real_iad(root)
        file.write_bytes(content)
        path = root / "realiad_1024" / "audiojack"
        category = outcome(lambda: real_iad.read("real_iad", "audiojack", path))
        if isinstance(category, DatasetError):
            assert str(file) in str(category)
            return
        told = json.loads(content)
        assert {s.name for s in category.train} == {row["image_path"] for row in told["train"]}
        assert all(sample.image.is_relative_to(path) for sample in category.test)


def write_named(root):
    images = root / "data_rgb"
    for kind, count in (("normal", 6), ("dent", 2)):
        (images / kind).mkdir(parents=True)
        for n in range(count):
            (images / kind / f"lid 50 {n}_x.png").touch()
    category = custom_names.read_category("set", "lid", root)
    return category, root / "data_info.csv"


with folder_for_one_example() as _written:
    DATA_INFO = write_named(_written)[1].read_bytes()


@examples(12)
@given(mutated(DATA_INFO))
def test_a_damaged_data_info_is_named_or_written_anew(content):
    with folder_for_one_example() as root:
        expected, table = write_named(root)
        table.write_bytes(content)
        found = outcome(lambda: custom_names.read_category("set", "lid", root))
        if isinstance(found, DatasetError):
            assert str(table) in str(found)
            assert table.read_bytes() == content
        else:
            assert found == expected
            assert table.read_bytes() in (content, DATA_INFO)
        assert {file.name for file in root.iterdir()} == {"data_rgb", "data_info.csv"}


HOSTILE = st.one_of(
    st.binary(min_size=1, max_size=60),
    st.text(min_size=1, max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(
        [
            b"-rf",
            b"~",
            b"..",
            b"a\\b",
            b"%2e%2e",
            b"*",
            b"lid 50 1_\r\n=1+1",
            b"C:x",
            b'lid 50 9_","',
            b"lid 50 9_=1",
        ]
    ),
).map(lambda name: name.replace(b"/", b"_").replace(b"\0", b"_"))


@examples(15)
@given(HOSTILE)
def test_a_hostile_name_is_read_in_folders_and_refused_by_the_naming_rule(name):
    file_name = os.fsdecode(name) + " .png"
    with folder_for_one_example() as root:
        write_category(root / "cat")
        hostile = write_png(root / "cat" / "train" / "good" / file_name)
        category = MVTEC.read("set", "cat", root / "cat")
        samples = {sample.name: sample for sample in category.train}
        hidden = file_name.startswith(".")
        assert (f"train/good/{file_name}" in samples) != hidden
        cache = DecodeCache(root / "cache")
        images = cache.get(list(samples.values()), SIZE).images
        assert len(images) == len(samples) == 3 + (not hidden)
        assert_clean(root / "cache")
        assert cache.content.data_hash(category.train)
        named = root / "named"
        write_named(named)
        hostile.rename(named / "data_rgb" / "normal" / file_name)
        _read_by_name(named, file_name)


def write_png(file):
    # Pillow refuses names that are not text.
    content = CONTENTS["train/good/0.png"]
    with open(os.fsencode(file), "wb") as stream:  # noqa: PTH123
        stream.write(content)
    return file


def _read_by_name(root, file_name):
    category = outcome(lambda: custom_names.read_category("set", "lid", root))
    if isinstance(category, DatasetError):
        named = ascii(f"data_rgb/normal/{file_name}") in str(category)
        assert named or "share the id" in str(category)
        return
    names = {sample.image.name for sample in (*category.train, *category.test)}
    table = (root / "data_info.csv").read_text(encoding="utf-8")
    rows = {row["filename"] for row in csv.DictReader(StringIO(table, newline=""))}
    assert names <= rows
    assert file_name.startswith(".") or file_name in rows
