"""Benches without runs, and clones of the code after a first night and after a regression."""

import shutil

import pytest
from code_clone import FIRST, MAPS, PLUGIN, SHIFTED, Clone
from night_setup import bench_in


@pytest.fixture
def context(tmp_path):
    """A bench whose results are in the test's folder."""
    return bench_in(tmp_path)


@pytest.fixture(scope="module")
def begun(tmp_path_factory, root, write_category):
    """A clone with one commit and a first night."""
    folder = tmp_path_factory.mktemp("begun")
    made = Clone(folder)
    # The bytecode is copied too, because compiling the project takes each first process seconds.
    for package in ("bench", "models", "datasets_lib"):
        shutil.copytree(root / package, made.code / package)
    shutil.copytree(root / "results" / "reference", made.code / "results" / "reference")
    shutil.copy(root / "pyproject.toml", made.code)
    (made.code / ".gitignore").write_text("__pycache__/\n")
    made.plugin.write_text(PLUGIN)
    made.git("init", "-q", "-b", "main")
    made.git("config", "user.name", "test")
    made.git("config", "user.email", "test@localhost")
    made.git("config", "gc.auto", "0")
    made.git("add", "-A")
    made.git("commit", "-qm", "start")
    write_category(folder / "data" / "tiny" / "tile")
    first = made.night()
    assert first.returncode == 0, first.stderr
    assert "no baseline yet" in made.report()
    return made


@pytest.fixture(scope="module")
def worse(begun, tmp_path_factory):
    """A copy of the clone, with a regression among other commits and the night that caught it."""
    made = begun.copy(tmp_path_factory.mktemp("worse") / "clone")
    made.change("models/padim.py", "_LAYERS = (1, 2, 3)", "_LAYERS = (1, 2)")
    planned = made.run("plan", "--canaries", "0", "--rotation", "0")
    assert "0 cases would run" in planned.stdout  # PaDiM's change does not affect this case
    made.planted = made.change(MAPS, FIRST, SHIFTED)
    made.git("commit", "-q", "--allow-empty", "-m", "nothing")
    planned = made.run("plan", "--canaries", "0", "--rotation", "0")
    assert f"{MAPS} changed since commit" in planned.stdout
    caught = made.night()
    assert caught.returncode == 10, caught.stdout + caught.stderr
    assert "Regressions (confirmed)" in made.report()
    return made


@pytest.fixture
def clone(begun, tmp_path):
    """A copy of the clone after its first night."""
    return begun.copy(tmp_path / "clone")
