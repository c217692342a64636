"""Whole sessions on class folders: their figures, and the same figures from streamed batches."""

import numpy as np
import pytest
from case_names import case_named
from PIL import Image

from bench.run.device_data import DeviceData
from bench.run.inputs import Finder
from bench.settings import Settings
from datasets_lib.discover import find_datasets

CASE = "resnet18-shapes-default-scratch-s0"
TRAIN, TEST, SIZE = 14, 5, 32
"""Images of each class by split, and their side."""


@pytest.fixture
def data(tmp_path):
    """Three classes of noise that differ in the brightest channel."""
    rng = np.random.default_rng(3)
    for split, count in (("train", TRAIN), ("test", TEST)):
        for channel, name in enumerate(("blue", "green", "red")):
            folder = tmp_path / "data" / "shapes" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 160, (40, 36, 3), dtype=np.uint8)
                pixels[..., 2 - channel] += 80
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "data"


@pytest.fixture
def run(session_options, run_session, store, data):
    """Run the case with more options; return its record."""

    def session(*options):
        result = run_session(
            *(*session_options, "--data-dir", str(data), "-k", CASE, "--rerun", *options),
            *("--images-seen", "64", "--image-size", str(SIZE)),
        )
        result.assert_outcomes(passed=1)
        return store.records()[-1]

    return session


@pytest.mark.slow
def test_streamed_and_resident_batches_give_the_same_figures(run):
    device_data = run()
    assert device_data.fingerprints["images"] == {"fit": 3 * TRAIN, "test": 3 * TEST}
    assert device_data.protocol["image_size"] == SIZE
    held = dict.fromkeys(("fit", "test"), "resident on the device")
    assert device_data.fingerprints["images_held"] == held
    # 57 images of 3,072 bytes take 175,104: neither split alone exceeds the limit.
    streamed = run("--host-memory", "0.00015", "--workers", "3")
    by_hand = {"fit": 3 * 3 * TRAIN * SIZE**2 * 3, "test": 3 * 3 * TEST * SIZE**2 * 3}
    assert streamed.fingerprints["images_held"] == {
        split: f"streamed from the cache by 3 threads, at most {most:,} bytes on the host"
        for split, most in by_hand.items()
    }
    assert streamed.metrics == device_data.metrics
    assert streamed.curve == device_data.curve
    assert streamed.epochs == device_data.epochs
    assert streamed.key == device_data.key


@pytest.mark.parametrize(("limit", "word"), [(175_104, "resident"), (175_103, "streamed")])
def test_a_set_as_large_as_the_limit_is_resident(tmp_path, data, limit, word):
    settings = Settings(
        "smoke", "cpu", (data,), (), tmp_path, tmp_path, image_size=SIZE, host_memory=limit
    )
    job = Finder(settings, find_datasets([data])).job(case_named(CASE))
    loaded = DeviceData().load_labeled(job, job.inputs, lambda *_: None)
    assert all(text.startswith(word) for text in loaded.placement(1, 1).values())


def test_a_set_that_cannot_be_read_is_a_failed_case(session_options, run_session, store, data):
    (data / "shapes" / "test" / "violet").mkdir()
    result = run_session(*session_options, "--data-dir", str(data), "-k", CASE)
    result.assert_outcomes(failed=1)
    assert store.records()[-1].outcome == "data"
    assert "'violet'" in store.records()[-1].error["message"]


def test_classifiers_are_trained_at_their_own_size(tmp_path, data):
    settings = Settings("standard", "cpu", (data,), (), tmp_path, tmp_path)
    finder = Finder(settings, find_datasets([data]))
    assert finder.job(case_named(CASE)).protocol.image_size == 224
    digits = case_named("resnet18-digits-default-scratch-s0")
    assert finder.job(digits).protocol.image_size == 32


@pytest.mark.parametrize("option", [("--host-memory", "much"), ("--host-memory", "-1")])
def test_a_limit_that_is_no_size_is_refused(session_options, run_session, option):
    result = run_session(*session_options, *option)
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*wanted a number of GB of at least 0, found*"])
