import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from full_disk import limit_file_size
from image_files import decode_image, decode_mask
from PIL import Image

from datasets_lib.cache import decode_cache as cache_module
from datasets_lib.cache.decode_cache import DecodeCache
from datasets_lib.images.decode import decoded_files
from datasets_lib.layouts.category import DatasetError, Sample
from datasets_lib.layouts.mvtec_folders import MVTEC
from datasets_lib.paths import default_cache_dir

SIZE = 32


@pytest.fixture
def count():
    """Number of files that a call decodes."""

    def run(function):
        before = decoded_files()
        function()
        return decoded_files() - before

    return run


def direct(samples, size=SIZE):
    images = np.stack([decode_image(sample.image, size) for sample in samples])
    masks = np.zeros((len(samples), size, size), np.uint8)
    for index, sample in enumerate(samples):
        for mask in sample.masks:
            with Image.open(sample.image) as image:
                masks[index] |= decode_mask(mask, size, image.size)
    return images, masks


def check(cached, samples, size=SIZE):
    images, masks = direct(samples, size)
    np.testing.assert_array_equal(cached.images, images)
    if any(sample.masks for sample in samples):
        np.testing.assert_array_equal(cached.masks, masks)
        assert cached.masks.any()
    else:
        assert cached.masks is None


def entries(cache_dir):
    """Finished entries and unfinished ones."""
    names = [path.name for path in (cache_dir / "decoded").glob("*")]
    hidden = [name for name in names if name.startswith(".")]
    return len(names) - len(hidden), len(hidden)


def test_the_cache_holds_what_decoding_gives(cache, category):
    steps = []
    for samples in (category.train, category.test):
        check(cache.get(samples, SIZE, lambda *step: steps.append(step)), samples)
    totals = len(category.train), len(category.test)
    assert steps == [(done, total) for total in totals for done in range(1, total + 1)]
    with pytest.raises(ValueError, match="read-only"):
        cache.get(category.train, SIZE).images[0] = 0


def test_nothing_is_decoded_twice(tmp_path, cache, category, count):
    files = len(category.test) + sum(len(sample.masks) for sample in category.test)
    assert count(lambda: cache.get(category.test, SIZE)) == files
    assert count(lambda: cache.get(category.test, SIZE)) == 0
    assert count(lambda: DecodeCache(tmp_path / "cache").get(category.test, SIZE)) == 0
    # A part of it, the same in another order, and the same images under another name.
    assert count(lambda: cache.get(category.test[3:9], SIZE)) == 0
    check(cache.get(category.test[3:9], SIZE), category.test[3:9])
    check(cache.get(category.test[::-1], SIZE), category.test[::-1])
    shutil.copytree(tmp_path / "set" / "cat", tmp_path / "other" / "copy")
    copy = MVTEC.read("other", "copy", tmp_path / "other" / "copy")
    finished = entries(tmp_path / "cache")
    assert count(lambda: cache.get(copy.test, SIZE)) == 0
    assert entries(tmp_path / "cache") == finished
    assert count(lambda: cache.get(category.test, SIZE + 1)) == files
    bare = [replace(sample, masks=()) for sample in category.test]
    check(cache.get(bare, SIZE), bare)


def test_only_a_changed_file_is_decoded_again(cache, category, count):
    cache.get(category.train, SIZE)
    Image.new("RGB", (50, 50), (1, 2, 3)).save(category.train[4].image)
    assert count(lambda: cache.get(category.train, SIZE)) == 1
    check(cache.get(category.train, SIZE), category.train)


def test_no_samples_are_no_images(cache):
    assert cache.get([], SIZE).images.shape == (0, SIZE, SIZE, 3)


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: os.truncate(entry / "images.u8", 1000),
        lambda entry: (entry / "images.u8").write_bytes(b"x" * 10**6),
        lambda entry: (entry / "masks.u8").unlink(),
        lambda entry: (entry / "entry.json").write_text("{"),
        lambda entry: (entry / "entry.json").unlink(),
    ],
)
def test_a_damaged_entry_is_rebuilt(tmp_path, cache, category, damage):
    cache.get(category.test, SIZE)
    (entry,) = (tmp_path / "cache" / "decoded").iterdir()
    damage(entry)
    check(cache.get(category.test, SIZE), category.test)
    assert entries(tmp_path / "cache") == (1, 0)


def test_a_bad_file_is_an_error_that_leaves_nothing(tmp_path, cache, category):
    for index in (3, 7):
        data = category.train[index].image.read_bytes()
        category.train[index].image.write_bytes(data[: len(data) // 2])
    for _ in range(3):  # threads or not, the first in order is named
        with pytest.raises(DatasetError, match=r"003\.png cannot be decoded"):
            cache.get(category.train, SIZE)
    assert entries(tmp_path / "cache") == (0, 0)


def test_a_bad_file_ends_the_build_at_once(tmp_path, cache, count):
    image = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"")
    files = [tmp_path / "bad.png", *[tmp_path / "good.png"] * 300]
    samples = [Sample(f"{number}.png", file) for number, file in enumerate(files)]

    def build():
        with pytest.raises(DatasetError, match="bad"):
            cache.get(samples, SIZE)

    assert count(build) < len(samples)


def test_a_file_changed_between_hashing_and_decoding_is_an_error(
    tmp_path, cache, category, monkeypatch
):
    monkeypatch.setattr(cache.content, "of", lambda paths: dict.fromkeys(paths, "0" * 64))
    with pytest.raises(DatasetError, match="changed while it was being read"):
        cache.get(category.train, SIZE)
    assert entries(tmp_path / "cache") == (0, 0)


# Several processes


def _get_and_count(cache_dir, samples, start, counts):
    start.wait()
    cached = DecodeCache(cache_dir).get(samples, SIZE)
    counts.put((decoded_files(), int(cached.images.sum(dtype=np.int64))))


def test_of_several_processes_one_decodes(tmp_path, category):
    context = multiprocessing.get_context("spawn")
    start, counts = context.Event(), context.Queue()
    arguments = (tmp_path / "cache", category.train, start, counts)
    workers = [context.Process(target=_get_and_count, args=arguments) for _ in range(3)]
    for worker in workers:
        worker.start()
    start.set()
    results = [counts.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert sorted(decoded for decoded, _ in results) == [0, 0, len(category.train)]
    assert {total for _, total in results} == {int(direct(category.train)[0].sum(dtype=np.int64))}


def _build_slowly(cache_dir, samples, started, go_on):
    def wait(done, total):
        if done == 2:
            started.set()
            go_on.wait()

    DecodeCache(cache_dir).get(samples, SIZE, progress=wait)


@pytest.fixture
def slow_build(tmp_path, category):
    """A process that pauses in the middle of a build until it may continue."""
    context = multiprocessing.get_context("spawn")
    started, go_on = context.Event(), context.Event()
    arguments = (tmp_path / "cache", category.train, started, go_on)
    worker = context.Process(target=_build_slowly, args=arguments)
    worker.start()
    assert started.wait(60)
    assert entries(tmp_path / "cache") == (0, 1)
    yield worker, go_on
    worker.kill()
    worker.join()


@pytest.mark.parametrize("sweeper", ["same", "other", "clean"])
def test_what_a_killed_build_left_is_removed(tmp_path, cache, category, slow_build, sweeper):
    worker, _ = slow_build
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    assert entries(tmp_path / "cache") == (0, 1)
    if sweeper == "same":
        check(cache.get(category.train, SIZE), category.train)
    elif sweeper == "other":
        cache.get(category.test, SIZE)
    else:
        assert cache.clean(older_than_days=1) > 0
    assert entries(tmp_path / "cache")[1] == 0


def test_a_build_in_progress_is_left_alone(tmp_path, cache, category, slow_build, count):
    worker, go_on = slow_build
    cache.get(category.test, SIZE)
    cache.clean()
    assert entries(tmp_path / "cache") == (0, 1)
    go_on.set()
    worker.join()
    assert worker.exitcode == 0
    assert count(lambda: check(cache.get(category.train, SIZE), category.train)) == len(
        category.train
    )  # those of the check itself


# Disks


def test_a_full_disk_is_an_error_that_leaves_nothing(tmp_path, cache, category, run_in_child):
    def build():
        limit_file_size(20_000)
        cache.get(category.train, SIZE)

    wanted = len(category.train) * SIZE * SIZE * 3
    with pytest.raises(DatasetError, match=f"{wanted:,} bytes.*--cache-dir.*cache clean") as caught:
        run_in_child(build)
    assert "bytes are free" in str(caught.value)
    assert entries(tmp_path / "cache") == (0, 0)
    check(cache.get(category.train, SIZE), category.train)


def test_a_disk_known_to_be_too_small_is_an_error_before_decoding(
    cache, category, monkeypatch, count
):
    usage = SimpleNamespace(free=1000)
    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda path: usage)

    def build():
        with pytest.raises(DatasetError, match=r"not have enough space.*1,000 bytes are free"):
            cache.get(category.train, SIZE)

    assert count(build) == 0


def test_an_unwritable_cache_is_an_error_with_its_remedy(tmp_path, category, run_unprivileged):
    (tmp_path / "closed").mkdir(mode=0o555)
    with pytest.raises(DatasetError, match=r"cannot be written: Permission denied.*--cache-dir"):
        run_unprivileged(lambda: DecodeCache(tmp_path / "closed" / "c").get(category.train, SIZE))


def test_a_warm_cache_may_be_read_only(tmp_path, cache, category, run_unprivileged):
    cache.get(category.train, SIZE)
    for path in (tmp_path / "cache", *(tmp_path / "cache").rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)

    def read():
        return np.array(cache.get(category.train, SIZE).images)

    np.testing.assert_array_equal(run_unprivileged(read), direct(category.train)[0])


# Housekeeping


def test_info_and_clean(tmp_path, cache, category, count):
    assert cache.info() == []
    assert cache.clean() == 0
    cache.get(category.train, SIZE)
    cache.get(category.test, SIZE)
    old = next(path for path in (tmp_path / "cache/decoded").iterdir() if not _has_masks(path))
    os.utime(old / "entry.json", (0, time.time() - 3 * 86400))
    first, second = cache.info()
    assert first.what == f"20 images of {category.train[0].image.parent} at 32 px"
    assert second.what == f"12 images of {tmp_path / 'set/cat/test'} at 32 px"
    assert first.bytes >= 20 * SIZE * SIZE * 3
    assert second.last_used - first.last_used == pytest.approx(3 * 86400, abs=60)

    assert cache.clean(older_than_days=4) == 0
    freed = cache.clean(older_than_days=2)
    assert freed == first.bytes
    assert [entry.what for entry in cache.info()] == [second.what]
    assert count(lambda: cache.get(category.test, SIZE)) == 0
    os.utime(next((tmp_path / "cache/decoded").iterdir()) / "entry.json", (0, 0))
    cached = cache.get(category.test, SIZE)  # use renews an entry
    assert cache.clean(older_than_days=1) == 0
    assert cache.clean() >= second.bytes
    np.testing.assert_array_equal(cached.images, direct(category.test)[0])  # still mapped
    assert cache.info() == []
    assert entries(tmp_path / "cache") == (0, 0)
    check(cache.get(category.train, SIZE), category.train)


def test_clean_counts_generated_files_of_every_depth(tmp_path, cache):
    file = tmp_path / "cache/generated/surface/brushed/train/good/000.png"
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(5_000))
    assert cache.others() == [("generated sets", 5_000)]
    assert cache.clean() == 5_000
    assert cache.others() == []
    assert not file.exists()


def _has_masks(entry):
    return (entry / "masks.u8").exists()


def test_the_default_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("PROVING_GROUND_CACHE", raising=False)
    assert default_cache_dir() == tmp_path / ".cache" / "proving_ground"
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/xdg")
    assert default_cache_dir() == Path("/var/xdg/proving_ground")
    monkeypatch.setenv("PROVING_GROUND_CACHE", "~/mine")
    assert default_cache_dir() == tmp_path / "mine"
