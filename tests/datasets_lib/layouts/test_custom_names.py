import csv
import random
import re
from pathlib import Path

import pytest
from dataset_files import box, names, write_image, write_mask

from datasets_lib.discover import find_datasets, recognize
from datasets_lib.layouts.category import DatasetError
from datasets_lib.layouts.custom_names import read_category
from datasets_lib.layouts.split import grouped_by
from datasets_lib.verify.sets import verify_category

HEADER = "filename,category,freq,dimming,image_path,dataset_type,defect_type,label"


def write_set(root, normal=10):
    """Two categories: one with defects of two kinds, one with only normal images."""
    images = root / "data_rgb"
    for n in range(normal):
        write_image(images / "normal" / f"Front-Side 50 100_{n}.png", n)
        write_image(images / "normal" / f"back 60Hz {n}.png", 20 + n)
    write_image(images / "scratch" / "Front-Side 50 80_a b_1.png", 40)
    write_image(images / "dent" / "Front-Side 50 80.png", 41)
    return root


def table(root):
    with (root / "data_info.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_set_below_custom_is_found(tmp_path):
    root = write_set(tmp_path / "custom" / "My Parts")
    found = find_datasets([tmp_path])
    assert list(found) == ["my_parts"]
    assert dict(found["my_parts"].categories) == {"back": root, "front_side": root}
    assert found["my_parts"].reader == "datasets_lib.layouts.custom_names:read_category"


def test_the_folder_of_images_may_be_in_upper_case(tmp_path):
    root = write_set(tmp_path / "set")
    (root / "data_rgb").rename(root / "DATA_RGB")
    assert set(recognize(root).categories) == {"back", "front_side"}
    for _ in range(2):  # the second time with the table that the first has written
        front = read_category("set", "front_side", root)
        assert (len(front.train), len(front.test)) == (8, 4)
    report = verify_category("set", "front_side", root, read_category)
    assert report.problems == ()


def test_a_fifth_of_the_normal_images_and_all_defects_are_tested(tmp_path):
    root = write_set(tmp_path)
    front = read_category("parts", "front_side", root)
    assert (len(front.train), len(front.test)) == (8, 4)
    assert [sample.defect for sample in front.test] == [None, None, "dent", "scratch"]
    assert not front.has_masks
    every = {f"data_rgb/normal/Front-Side 50 100_{n}.png" for n in range(10)}
    assert {*names(front.train), *names(front.test[:2])} == every
    back = read_category("parts", "back", root)
    assert (len(back.train), len(back.test)) == (8, 2)


def test_the_split_depends_on_neither_order_nor_other_categories(tmp_path):
    splits = []
    for seed in range(3):
        root = tmp_path / str(seed)
        files = [f"bottle 50 {n}.png" for n in range(30)] + [f"cap{seed} 50 {n}.png" for n in "123"]
        random.Random(seed).shuffle(files)
        for file in files:
            (root / "data_rgb" / "good").mkdir(parents=True, exist_ok=True)
            (root / "data_rgb" / "good" / file).touch()
        splits.append(names(read_category("set", "bottle", root).test))
    assert splits[0] == splits[1] == splits[2]
    assert len(splits[0]) == 6


def test_table_is_written_on_first_use(tmp_path):
    root = write_set(tmp_path)
    front = read_category("parts", "front_side", root)
    text = (root / "data_info.csv").read_text(encoding="utf-8")
    assert text.splitlines()[0] == HEADER
    rows = {row["image_path"]: row for row in table(root)}
    assert len(rows) == 22
    assert rows["data_rgb/scratch/Front-Side 50 80_a b_1.png"] == {
        "filename": "Front-Side 50 80_a b_1.png",
        "category": "Front-Side",
        "freq": "50",
        "dimming": "80",
        "image_path": "data_rgb/scratch/Front-Side 50 80_a b_1.png",
        "dataset_type": "test",
        "defect_type": "scratch",
        "label": "1",
    }
    trained = {path for path, row in rows.items() if row["dataset_type"] == "train"}
    assert {*names(front.train), *names(read_category("parts", "back", root).train)} == trained
    assert [file.name for file in root.iterdir() if file.name.startswith(".")] == []


def test_table_is_rewritten_only_when_files_change(tmp_path):
    root = write_set(tmp_path)
    read_category("parts", "back", root)
    before = (root / "data_info.csv").stat()
    read_category("parts", "back", root)
    after = (root / "data_info.csv").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    write_image(root / "data_rgb" / "scratch" / "back 60 7.png")
    assert read_category("parts", "back", root).test[-1].defect == "scratch"
    assert "data_rgb/scratch/back 60 7.png" in {row["image_path"] for row in table(root)}
    (root / "data_rgb" / "scratch" / "back 60 7.png").unlink()
    read_category("parts", "back", root)
    assert len(table(root)) == 22


@pytest.mark.parametrize(
    ("column", "value"),
    [("category", "top"), ("label", "1")],
)
def test_edited_table_is_not_overwritten(tmp_path, column, value):
    root = write_set(tmp_path)
    read_category("parts", "back", root)
    rows = table(root)
    rows[3][column] = value
    file = root / "data_info.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    edited = file.read_bytes()
    write_image(root / "data_rgb" / "scratch" / "back 60 7.png")
    with pytest.raises(DatasetError, match=rf"says {column} '{value}'"):
        read_category("parts", "back", root)
    assert file.read_bytes() == edited


def test_empty_table_is_refused_and_kept(tmp_path):
    root = write_set(tmp_path)
    file = root / "data_info.csv"
    file.write_text(HEADER + "\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"names no image.*Delete it"):
        read_category("parts", "back", root)
    assert file.read_text(encoding="utf-8") == HEADER + "\n"


def test_split_may_move_when_images_are_removed(tmp_path):
    root = write_set(tmp_path)
    before = read_category("parts", "back", root)
    for sample in before.test:
        sample.image.unlink()
    back = read_category("parts", "back", root)
    assert set(names(back.test)) < set(names(before.train))
    rows = {row["image_path"]: row["dataset_type"] for row in table(root)}
    assert {rows[name] for name in names(back.train)} == {"train"}
    assert {rows[name] for name in names(back.test)} == {"test"}


def test_read_only_folder_gets_no_table(tmp_path, run_unprivileged):
    root = write_set(tmp_path / "set")
    for folder in (root, *root.rglob("*")):
        folder.chmod(0o555 if folder.is_dir() else 0o444)
    count = run_unprivileged(lambda: len(read_category("parts", "back", root).train))
    assert count == 8
    assert not (root / "data_info.csv").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("filename,", "file,", 1).encode(),
        lambda text: b"",
        lambda text: text.encode() + b"\xff\xfe\n",
        lambda text: text.encode() + b"one,field\n",
        lambda text: text.encode() + b'"open',
        lambda text: text.replace(",train,", ",test,", 1).encode(),
        lambda text: text.replace("data_rgb/", "/elsewhere/data_rgb/").encode(),
    ],
)
def test_damaged_table_is_refused_with_the_advice_to_delete_it(tmp_path, change):
    root = write_set(tmp_path)
    read_category("parts", "back", root)
    file = root / "data_info.csv"
    changed = change(file.read_text(encoding="utf-8"))
    file.write_bytes(changed)
    with pytest.raises(DatasetError, match=re.escape(str(file))) as caught:
        read_category("parts", "back", root)
    assert "elete it to have" in str(caught.value)
    assert file.read_bytes() == changed


@pytest.mark.parametrize(
    "name",
    [
        "back.png",
        "back  60 1.png",
        "back 60 1_.png",
        "back 60 1 2.png",
        "back 60 1_\u2028.png",
        "back 60 1_\udcff.png",
    ],
)
def test_name_outside_the_pattern_is_refused(tmp_path, name):
    root = write_set(tmp_path)
    (root / "data_rgb" / "normal" / name).touch()
    with pytest.raises(DatasetError, match=re.escape("{category} {freq} {dimming}")) as caught:
        read_category("parts", "back", root)
    assert ascii(f"data_rgb/normal/{name}") in str(caught.value)
    assert not (root / "data_info.csv").exists()


def test_set_with_only_wrong_names_is_found_and_refused_by_its_reader(tmp_path):
    (tmp_path / "data_rgb" / "normal").mkdir(parents=True)
    (tmp_path / "data_rgb" / "normal" / "IMG_0001.png").touch()
    found = recognize(tmp_path)
    assert list(found.categories) == ["img_0001"]
    with pytest.raises(DatasetError, match="IMG_0001"):
        read_category("set", "img_0001", tmp_path)


def test_duplicate_category_ids_are_refused(tmp_path):
    root = write_set(tmp_path)
    write_image(root / "data_rgb" / "normal" / "front_side 50 1.png")
    with pytest.raises(DatasetError, match="Front-Side and front_side"):
        read_category("parts", "back", root)


def test_masks_lie_in_a_parallel_folder(tmp_path):
    root = write_set(tmp_path)
    write_mask(root / "masks" / "scratch" / "Front-Side 50 80_a b_1.png", box(1, 1))
    with pytest.raises(DatasetError, match=r"1 of 2 .*dent/Front-Side 50 80\.png"):
        read_category("parts", "front_side", root)
    mask = write_mask(root / "masks" / "dent" / "Front-Side 50 80_mask.png", box(1, 1))
    front = read_category("parts", "front_side", root)
    assert front.has_masks
    assert front.test[2].masks == (mask,)


def test_category_without_normal_images_is_refused(tmp_path):
    root = write_set(tmp_path)
    write_image(root / "data_rgb" / "dent" / "lid 50 1.png")
    with pytest.raises(DatasetError, match=r"lid .*0 normal and 1 defective"):
        read_category("parts", "lid", root)
    assert len(read_category("parts", "back", root).train) == 8


def test_files_that_are_not_images_are_skipped(tmp_path):
    root = write_set(tmp_path)
    expected = read_category("parts", "back", root)
    for stray in ("normal/notes.txt", "normal/.DS_Store", "stray.png", ".hidden/x.png"):
        (root / "data_rgb" / stray).parent.mkdir(exist_ok=True)
        (root / "data_rgb" / stray).touch()
    assert read_category("parts", "back", root) == expected
    assert list(recognize(root).categories) == ["back", "front_side"]


def test_unreadable_kind_is_refused(tmp_path, run_unprivileged):
    root = write_set(tmp_path / "set")
    closed = root / "data_rgb" / "dent"
    closed.chmod(0)
    found = run_unprivileged(lambda: list(recognize(Path(root)).categories))
    assert found == ["back", "front_side"]
    with pytest.raises(DatasetError, match=re.escape(str(closed))):
        run_unprivileged(lambda: read_category("parts", "back", root))


def test_a_prefix_that_does_not_part_one_category_leaves_the_others(tmp_path):
    names = [f"bottle {part} 1_{n}.png" for part in range(5) for n in range(4)]
    for name in (*names, *(f"cap 1 1_{n}.png" for n in range(4))):
        write_image(tmp_path / "data_rgb" / "normal" / name)
    with grouped_by("[a-z]+ [0-9]+ "):
        assert len(read_category("parts", "bottle", tmp_path).train) == 16
        with pytest.raises(DatasetError, match=r"such as data_rgb/normal/cap .*the same text"):
            read_category("parts", "cap", tmp_path)
    assert not (tmp_path / "data_info.csv").exists()
    assert len(read_category("parts", "cap", tmp_path).train) == 3
