"""Shared by all tests: parallel workers, a tiny dataset on disk, and the folder of real data."""

import os
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent

LONGEST = {
    *("test_contract.py", "test_train.py", "test_anomaly_task.py", "test_contributing.py"),
    *("test_classification_sessions.py", "test_sessions.py"),
}
"""Names of the files that take more than 20 s of CPU time."""


def _keep_byte_code():
    """Let workers and the sessions that tests start share bytecode where none may be written.

    Container images often set PYTHONDONTWRITEBYTECODE, and then every one of these processes
    recompiles torch, timm, pandas and SciPy (16.3 s of CPU time against 6.5 s).
    """
    if not sys.dont_write_bytecode:
        return
    folder = str(ROOT / ".pytest_cache" / "bytecode")
    sys.dont_write_bytecode, sys.pycache_prefix = False, folder
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = folder


_keep_byte_code()


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Run whole folders of tests on all cores; a file, or a debugger, runs in one process."""
    # Workers of pytest-xdist come here too: they must not start workers of their own.
    if "PYTEST_XDIST_WORKER" in os.environ or config.option.usepdb:
        return
    workers = getattr(config.option, "numprocesses", 0)  # absent without pytest-xdist
    if workers is None and all(Path(name).is_dir() for name in config.args):
        config.option.numprocesses = os.cpu_count()
        # The tests of a file share its fixtures and fits; files begin in the order of collection.
        config.option.dist, config.option.loadscopereorder = "loadfile", False
        # Threads of several processes that wait for each other slow all of them down threefold.
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items):
    """Begin with the longest files, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_configure(config):
    """Make warnings errors: here, and not in the sessions of users."""
    if not config.pluginmanager.hasplugin("warnings"):
        return
    for line in (
        "error",
        # Old and new settings of TF32 may not be mixed, and the compiler reads the old ones.
        "ignore:Please use the new API settings",
        # FrEIA 0.2 has invalid escape sequences that warn at its first byte-compilation.
        "ignore:.*invalid escape sequence.*",
        # hypothesis, whose plugin is off, mistakes strategies in decorators for a slow plugin's.
        "ignore::hypothesis.errors.HypothesisSideeffectWarning",
        # --benchmark-compare warns when the current clock rate differs; that is no error.
        "default::pytest_benchmark.logger.PytestBenchmarkWarning",
    ):
        config.addinivalue_line("filterwarnings", line)


@pytest.fixture(scope="session")
def root():
    """The project's own folder."""
    return ROOT


@pytest.fixture
def real_data():
    """The folder of real data and weights."""
    folder = os.environ.get("PROVING_GROUND_TEST_DATA")
    if not folder:
        pytest.skip("PROVING_GROUND_TEST_DATA is unset: it names the folder of real data")
    return Path(folder)


@pytest.fixture(scope="session")
def generated_once(tmp_path_factory, request):
    """Link a cache's generated images, which take seconds, to those of the whole test run."""
    folder = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        folder = folder.parent  # of all workers
    shared = folder / "generated"
    shared.mkdir(exist_ok=True)

    def link(cache):
        cache.mkdir(parents=True, exist_ok=True)
        (cache / "generated").symlink_to(shared, target_is_directory=True)
        return cache

    return link


@pytest.fixture(scope="session")
def write_category():
    """Write a small category in MVTec AD's layout: stripes, whose defects are bright spots."""
    return _write_category


@pytest.fixture
def no_waiting():
    """Make a block in which waiting for the CUDA device is an error."""

    def switch(mode):
        import torch

        with warnings.catch_warnings():  # "… is a prototype feature", once per process
            warnings.simplefilter("ignore", UserWarning)
            torch.cuda.set_sync_debug_mode(mode)

    @contextmanager
    def block():
        switch("error")
        try:
            yield
        finally:
            switch("default")

    return block


def _write_category(folder, train=20, good=6, spots=6, side=48):
    rng = np.random.default_rng(7)
    for split, count in (("train/good", train), ("test/good", good)):
        for number in range(count):
            _save(folder / split / f"{number:03d}.png", _stripes(rng, side))
    for number in range(spots):
        image, mask = _stripes(rng, side), np.zeros((side, side), np.uint8)
        y, x = rng.integers(4, side - 16, 2)
        image[y : y + 12, x : x + 12] = rng.integers(200, 255, 3)
        mask[y : y + 12, x : x + 12] = 255
        _save(folder / "test/spot" / f"{number:03d}.png", image)
        _save(folder / "ground_truth/spot" / f"{number:03d}_mask.png", mask)
    return folder


def _stripes(rng, side):
    phase, noise = rng.uniform(0, 6.28), rng.normal(0, 6, (side, side, 3))
    wave = 90 + 50 * np.sin(np.arange(side) / 2.5 + phase)
    return np.clip(wave[None, :, None] + noise, 0, 255).astype(np.uint8)


def _save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
