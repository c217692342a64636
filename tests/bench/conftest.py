"""Fixtures for tests of whole sessions: run one in this process, read its store."""

import contextlib
import io

import matplotlib.backends.backend_agg  # noqa: F401
import pytest
import torch

from bench.record import Record
from bench.run.features import store as feature_store
from bench.store import Store
from models.components.backbone import Backbone


@pytest.fixture
def session_options(root, tmp_path, generated_once):
    """Options of every small session; folders are the test's own."""
    generated_once(tmp_path / "cache")
    return [
        str(root / "bench"),
        *("--rootdir", str(root), "-c", str(root / "pyproject.toml")),
        *("-p", "no:cacheprovider", "--device", "cpu", "--profile", "smoke"),
        *("--precision", "float32", "--cache-dir", str(tmp_path / "cache")),
        *("--measure-seconds", "3"),
        *("--results-dir", str(tmp_path / "results")),
    ]


@pytest.fixture
def tiny_options(session_options, tmp_path, write_category):
    """Options of a session on one dataset of one category, 16 images seen at 64 pixels."""
    write_category(tmp_path / "data" / "tiny" / "tile")
    data = str(tmp_path / "data")
    return [*session_options, "--images-seen", "16", "--image-size", "64", "--data-dir", data]


@pytest.fixture
def run_session(monkeypatch):
    """Run a session in this process.

    It does not use pytester's own runner, which forgets what a session imported: torch, matplotlib
    and others cannot be imported twice.
    """

    # In a worker of pytest-xdist, pytest-benchmark would disable itself in the session too.
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    # Other tests run in parallel; the session must not discard its speeds because of them.
    monkeypatch.setattr(Record, "shared", False)

    def run(*arguments):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = pytest.main([*arguments])
        return pytest.RunResult(
            code, out.getvalue().splitlines(), err.getvalue().splitlines(), duration=0.0
        )

    return run


@contextlib.contextmanager
def threads(count):
    """Return a context in which torch computes with a number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture
def one_thread():
    """Run a test on one thread, because threads that wait for each other are very slow."""
    with threads(1):
        yield


@pytest.fixture
def two_threads():
    """Run a test on two threads, also where OMP_NUM_THREADS says one."""
    with threads(2):
        yield


@pytest.fixture
def store(tmp_path):
    """The session's store."""
    return Store(tmp_path / "results" / "runs")


@pytest.fixture
def forwards(monkeypatch):
    """Count the images that go through any backbone, except in unmeasured dry passes."""
    seen = []
    stages = Backbone.stages

    def counted(self, batch, *rest):
        seen.append(len(batch))
        return stages(self, batch, *rest)

    monkeypatch.setattr(Backbone, "stages", counted)
    monkeypatch.setattr(feature_store, "_warm_up", lambda *_: None)
    return seen
