import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import edited
from PIL import Image

from datasets_lib.batches.labeled import mapped_images
from datasets_lib.cache.decode_cache import DecodeCache
from datasets_lib.discover import find_datasets
from datasets_lib.layouts.category import DatasetError
from datasets_lib.sets.tiny_imagenet import read

WORDS = {"n03000003": "crane", "n01000001": "goldfish, Carassius", "n02000002": "crane, bird"}


def write_tiny(root, gray=True):
    """Three classes, listed unsorted; two train and two val images each."""
    rng = np.random.default_rng(3)
    lines = []
    for number, wnid in enumerate(WORDS):
        for place in range(2):
            _save(rng, root / f"train/{wnid}/images/{wnid}_{place}.JPEG", gray and place == 1)
            name = f"val_{2 * number + place}.JPEG"
            _save(rng, root / f"val/images/{name}", gray and place == 1)
            lines.append(f"{name}\t{wnid}\t0\t10\t44\t62")
        (root / f"train/{wnid}/{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t10\t44\t62\n")
    (root / "val/val_annotations.txt").write_text("\n".join(lines) + "\n")
    (root / "wnids.txt").write_text("\n".join(WORDS))
    others = "n00001740\tentity\n"
    words = "".join(f"{wnid}\t{word}\n" for wnid, word in WORDS.items())
    (root / "words.txt").write_text(others + words)
    return root


def _save(rng, path, gray):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (64, 64) if gray else (64, 64, 3)
    Image.fromarray(rng.integers(0, 256, shape).astype(np.uint8)).save(path)


def test_reads_both_splits_in_the_order_of_sorted_ids(tmp_path):
    tiny = read(write_tiny(tmp_path))
    assert tiny.classes == ("goldfish", "crane (n02000002)", "crane (n03000003)")
    assert tiny.train.labels == (0, 0, 1, 1, 2, 2)
    for name, label in zip(tiny.train.names, tiny.train.labels, strict=True):
        assert name.startswith(f"train/{sorted(WORDS)[label]}/images/")
    assert tiny.test.names == tuple(f"val/images/val_{number}.JPEG" for number in range(6))
    assert tiny.test.labels == (2, 2, 0, 0, 1, 1)


def test_hidden_files_are_passed_over(tmp_path):
    root = write_tiny(tmp_path)
    expected = read(root)
    for file in ("train/n01000001/images/._n01000001_0.JPEG", "val/images/._val_0.JPEG"):
        (root / file).write_bytes(b"left by a file manager")
    found = read(root)
    assert (found.train, found.test) == (expected.train, expected.test)


def test_gray_jpegs_become_rgb(tmp_path):
    tiny = read(write_tiny(tmp_path / "tiny"))
    loaded = mapped_images(tiny.train, 64, DecodeCache(tmp_path / "cache"))
    for sample, image in zip(tiny.train.samples, loaded, strict=True):
        with Image.open(sample.image) as opened:
            expected = np.asarray(opened.convert("RGB"))
        np.testing.assert_array_equal(image, expected)
    assert (loaded[1] == loaded[1][..., :1]).all()
    assert not (loaded[0] == loaded[0][..., :1]).all()


@pytest.mark.parametrize(
    "folder", ["tiny-imagenet-200", "tiny_imagenet", "tiny_imagenet/tiny-imagenet-200"]
)
def test_is_found_where_its_archive_may_have_put_it(tmp_path, folder):
    write_tiny(tmp_path / "data" / folder)
    found = find_datasets([tmp_path / "data"])
    assert list(found) == ["tiny_imagenet"]
    assert len(read(found["tiny_imagenet"].root).test) == 6


def edit(path, change):
    path.write_bytes(change(path.read_bytes()))


DAMAGE = {
    "no words": (lambda r: (r / "words.txt").unlink(), "words.txt.*No such file"),
    "no words of a class": (
        lambda r: edit(r / "words.txt", lambda b: b.replace(b"n02000002", b"n02000009")),
        "words for every class, found none for n02000002",
    ),
    "an id twice": (
        lambda r: (r / "wnids.txt").write_text("n01000001\nn01000001\n"),
        "2 lines, 1 different ids",
    ),
    "no ids": (lambda r: (r / "wnids.txt").write_text(""), "0 lines"),
    "a class missing": (
        lambda r: shutil.rmtree(r / "train/n02000002"),
        "train/n02000002/images: wanted a folder of images",
    ),
    "a class empty": (
        lambda r: [file.unlink() for file in (r / "train/n02000002/images").iterdir()],
        "JPEG images of its class, found none",
    ),
    "a class unknown": (lambda r: (r / "train/n09").mkdir(), "found also n09"),
    "no train": (lambda r: shutil.rmtree(r / "train"), "a folder per class"),
    "an image missing": (lambda r: (r / "val/images/val_3.JPEG").unlink(), "no val_3.JPEG"),
    "an annotation missing": (
        lambda r: edit(r / "val/val_annotations.txt", lambda b: b.split(b"\n", 1)[1]),
        "no line for val_0.JPEG",
    ),
    "an annotation twice": (
        lambda r: edit(r / "val/val_annotations.txt", lambda b: b + b.split(b"\n", 1)[0]),
        "val_0.JPEG again in line 7",
    ),
    "a class annotated that is unknown": (
        lambda r: edit(r / "val/val_annotations.txt", lambda b: b.replace(b"n02", b"n04", 1)),
        "found 'n04000002' in line 5",
    ),
    "a column missing": (
        lambda r: edit(r / "val/val_annotations.txt", lambda b: b.replace(b"\t62", b"", 1)),
        "found 5 columns in line 1",
    ),
    "binary annotations": (
        lambda r: (r / "val/val_annotations.txt").write_bytes(b"\xff\xfe\x00"),
        "not UTF-8",
    ),
}


@pytest.mark.parametrize(("damage", "found"), DAMAGE.values(), ids=DAMAGE)
def test_refuses_by_name_what_does_not_fit(tmp_path, damage, found):
    damage(write_tiny(tmp_path))
    with pytest.raises(DatasetError, match=found) as raised:
        read(tmp_path)
    assert "Unpack the publisher's archive again" in str(raised.value)


def test_a_folder_without_the_list_of_classes_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"wanted the file wnids\.txt"):
        read(tmp_path)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_annotation_file_is_named_or_reads_exactly(tmp_path_factory, data):
    root = write_tiny(tmp_path_factory.getbasetemp() / "mutated_tiny")
    exact = read(root).test
    path = root / "val/val_annotations.txt"
    content = path.read_bytes()
    path.write_bytes(data.draw(edited(content, st.integers(0, len(content) - 1), longest=40)))
    try:
        test = read(root).test
    except DatasetError as error:
        message = str(error)
    else:
        assert test == exact
        return
    assert "val" in message


def _mode(path):
    with Image.open(path) as image:
        return image.mode


@pytest.mark.real_data
def test_the_real_subset_reads(real_data, tmp_path):
    root = real_data / "tiny-imagenet-200"
    tiny = read(root)
    assert len(tiny.classes) == len(set(tiny.classes)) == 200
    assert np.bincount(tiny.train.labels).tolist() == [10] * 200
    assert np.bincount(tiny.test.labels).tolist() == [4] * 200
    assert tiny.classes[0] == "goldfish"
    # Each line of the annotations, by the ids' own order.
    wnids = sorted((root / "wnids.txt").read_text().split())
    lines = (root / "val/val_annotations.txt").read_text().splitlines()
    annotated = [line.split("\t")[:2] for line in lines]
    assert [f"val/images/{name}" for name, _ in annotated] == list(tiny.test.names)
    assert [wnids.index(wnid) for _, wnid in annotated] == list(tiny.test.labels)
    gray = [sample.image for sample in tiny.test.samples if _mode(sample.image) == "L"]
    assert gray
    loaded = mapped_images(tiny.test, 64, DecodeCache(tmp_path))
    assert loaded.shape == (800, 64, 64, 3)
    place = [sample.image for sample in tiny.test.samples].index(gray[0])
    assert (loaded[place] == loaded[place][..., :1]).all()
