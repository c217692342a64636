import hashlib
import json
import multiprocessing
import os
import shutil
import time

import pytest

from datasets_lib.cache import content
from datasets_lib.cache.content import ContentHashes
from datasets_lib.layouts.category import DatasetError, Sample


@pytest.fixture
def files(tmp_path):
    """Five files of one length in two folders."""
    paths = [tmp_path / f"set/{'ab'[n % 2]}/{n}.png" for n in range(5)]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]) * 5000)
    return paths


@pytest.fixture
def hashed(monkeypatch):
    """Files whose bytes were read, with hashes of even the newest files remembered."""
    read = []
    original = content._sha256
    monkeypatch.setattr(content, "_sha256", lambda file: (read.append(file), original(file))[1])
    monkeypatch.setattr(content, "_SETTLED_NS", 0)
    return read


def expected(files):
    return {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_asking_again_reads_nothing(tmp_path, files, hashed):
    assert ContentHashes(tmp_path / "memo").of([*files, files[0]]) == expected(files)
    assert sorted(hashed) == sorted(files)
    hashed.clear()
    assert ContentHashes(tmp_path / "memo").of(files) == expected(files)
    assert hashed == []
    assert len(list((tmp_path / "memo").iterdir())) == 2  # one per folder


def test_a_changed_file_is_read_again_even_with_its_old_size_and_time(tmp_path, files, hashed):
    hashes = ContentHashes(tmp_path / "memo")
    hashes.of(files)
    stat = files[1].stat()
    hashed.clear()
    time.sleep(0.05)
    files[1].write_bytes(b"x" * 5000)
    os.utime(files[1], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert hashes.of(files) == expected(files)
    assert hashed == [files[1]]


def test_files_written_a_moment_ago_are_not_remembered(tmp_path, files):
    # Written twice within the timestamps' granularity, they would look unchanged.
    assert ContentHashes(tmp_path / "memo").of(files) == expected(files)
    assert not (tmp_path / "memo").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: '{"folder": 3}',
        lambda text: json.dumps({**json.loads(text), "files": {"1.png": [1, 2]}}),
        lambda text: json.dumps({**json.loads(text), "files": {"1.png": [5000, 0, 0, 0, 7]}}),
        lambda text: json.dumps({**json.loads(text), "folder": "/elsewhere"}),
    ],
)
def test_a_damaged_memo_is_rebuilt(tmp_path, files, hashed, damage):
    ContentHashes(tmp_path / "memo").of(files)
    for memo in (tmp_path / "memo").iterdir():
        memo.write_text(damage(memo.read_text()))
    hashed.clear()
    assert ContentHashes(tmp_path / "memo").of(files) == expected(files)
    assert sorted(hashed) == sorted(files)


def _hash_often(memo, files, start):
    content._SETTLED_NS = 0
    start.wait()
    for _ in range(20):
        assert ContentHashes(memo).of(files) == expected(files)


def test_concurrent_writers_leave_a_whole_memo(tmp_path, files):
    context = multiprocessing.get_context("spawn")
    start = context.Event()
    memo = tmp_path / "memo"
    workers = [
        context.Process(target=_hash_often, args=(memo, files[first:], start)) for first in range(3)
    ]
    for worker in workers:
        worker.start()
    start.set()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    for file in memo.iterdir():
        assert json.loads(file.read_text())["files"]


def test_a_memo_that_cannot_be_written_is_gone_without(tmp_path, files, monkeypatch):
    monkeypatch.setattr(content, "_SETTLED_NS", 0)
    (tmp_path / "memo").write_text("a file where the folder would be")
    assert ContentHashes(tmp_path / "memo").of(files) == expected(files)


def test_a_missing_file_is_an_error_naming_it(tmp_path, files):
    files[2].unlink()
    with pytest.raises(DatasetError, match=f"{files[2]} cannot be read"):
        ContentHashes(tmp_path / "memo").of(files)


def test_the_data_hash_is_of_names_and_contents_alone(tmp_path, files):
    def samples(root):
        paths = [root / file.relative_to(tmp_path / "set") for file in files]
        return [
            Sample("test/x/0.png", paths[0], (paths[1],), "x"),
            Sample("test/good/1.png", paths[2]),
        ]

    hashes = ContentHashes(tmp_path / "memo")
    first = hashes.data_hash(samples(tmp_path / "set"))
    shutil.copytree(tmp_path / "set", tmp_path / "copy")
    assert ContentHashes(tmp_path / "other").data_hash(samples(tmp_path / "copy")) == first

    variants = {first}
    a, b = samples(tmp_path / "copy")
    variants.add(hashes.data_hash([b, a]))
    variants.add(hashes.data_hash([a]))
    variants.add(hashes.data_hash([Sample("test/x/9.png", a.image, a.masks, "x"), b]))
    variants.add(hashes.data_hash([Sample(a.name, a.image, (), "x"), b]))
    a.masks[0].write_bytes(b"other")
    variants.add(hashes.data_hash([a, b]))
    b.image.write_bytes(b"other")
    variants.add(hashes.data_hash([a, b]))
    assert len(variants) == 7


def test_a_label_that_a_table_corrects_changes_the_data_hash(tmp_path, files):
    hashes = ContentHashes(tmp_path / "memo")
    by_table = [Sample("images/0.png", files[0], defect=kind) for kind in (None, "crack", "hole")]
    assert len({hashes.data_hash([sample]) for sample in by_table}) == 3
    named = "crack/0.png", "crack.png", "test/crack"  # the last two name no folder
    of_name = {
        name: {hashes.data_hash([Sample(name, files[0], defect=kind)]) for kind in (None, "crack")}
        for name in named
    }
    assert [len(of_name[name]) for name in named] == [1, 2, 2]


def test_names_that_are_not_unicode_can_be_hashed(tmp_path, hashed):
    name = os.fsdecode(b"\xff\xfe.png")
    try:
        (tmp_path / name).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    sample = Sample(name, tmp_path / name)
    hashes = ContentHashes(tmp_path / "memo")
    assert hashes.data_hash([sample]) == hashes.data_hash([sample])
    assert len(hashed) == 1
