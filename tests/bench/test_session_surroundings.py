"""Whatever surrounds a session, it runs its cases and ends with its summary."""

import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from bench import plugin as bench_plugin

CASE = "dfkde_resnet18-tiny.tile-default-scratch-s0"

COMPLAINS = """
import warnings
import pytest

def pytest_collection_finish(session):
    warnings.warn("the moon is full", UserWarning)

def pytest_runtest_setup(item):
    item.warn(pytest.PytestWarning("an item is about to run"))
"""

BREAKS_OFF = """
def pytest_sessionfinish(session):
    raise OSError("the report server is away")
"""

SAME_OPTIONS = """
def pytest_addoption(parser):
    group = parser.getgroup("profiler")
    group.addoption("--profile", action="store_true", dest="profile")
    group.addoption("--device", default="printer")

def pytest_report_header(config):
    return f"profiler: {config.option.profile} {config.option.device}"
"""


@pytest.fixture
def options(session_options, tmp_path, write_category):
    """A small session without pictures and speeds."""
    write_category(tmp_path / "data" / "tiny" / "tile", train=20, good=3, spots=3)
    own = ["--images-seen", "16", "--image-size", "64", "--no-pictures", "--no-measurements"]
    return [*session_options, *own, "--data-dir", str(tmp_path / "data"), "-k", CASE]


@pytest.fixture
def session(options, run_session):
    """Run the session in this process."""
    return lambda *more: run_session(*options, *more)


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Make the source of a pytest plugin importable; return its name."""

    def write(name, source):
        (tmp_path / "plugins").mkdir()
        (tmp_path / "plugins" / f"{name}.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path / "plugins")
        return name

    return write


def summarized(result, tmp_path):
    """Whether the session has run its case and written everything that it ends with."""
    result.stdout.fnmatch_lines(["*= proving ground =*", "1 ok*", "leaderboard*LEADERBOARD.md*"])
    return (tmp_path / "results" / "LEADERBOARD.md").is_file()


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("options_of_pytest", [["-p", "no:warnings"], ["-W", "error"], ["-q"]])
def test_options_of_pytest_keep_the_summary(session, tmp_path, options_of_pytest):
    result = session(*options_of_pytest)
    assert result.ret == 0
    assert summarized(result, tmp_path)


@pytest.mark.filterwarnings("default")
def test_warnings_of_other_plugins_are_no_errors(session, tmp_path, plugin):
    result = session("-p", plugin("complaining_plugin", COMPLAINS))
    assert result.ret == 0
    assert summarized(result, tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_plugin_that_breaks_off_the_end_costs_no_summary(
    options, tmp_path, root, plugin, monkeypatch
):
    name = plugin("breaking_plugin", BREAKS_OFF)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "plugins")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-p", name],
        env=environment, cwd=root, capture_output=True, text=True,
    )  # fmt: skip
    assert "the report server is away" in done.stderr
    assert "= proving ground =" in done.stdout
    assert (tmp_path / "results" / "LEADERBOARD.md").is_file()


@pytest.mark.filterwarnings("default")
def test_a_cache_that_cannot_be_written_is_a_warning(session, tmp_path):
    (tmp_path / "file").write_text("in the way, as on a read-only disk")
    cache = ("-p", "cacheprovider", "-o", f"cache_dir={tmp_path / 'file' / 'cache'}")
    result = session(*cache)
    assert result.ret == 0
    assert summarized(result, tmp_path)


@pytest.mark.slow
def test_an_interpreter_without_assertions_runs_cases(options, tmp_path, root):
    environment = {**os.environ, "PYTHONOPTIMIZE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        env=environment, cwd=root, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "1 ok" in done.stdout


@pytest.mark.parametrize(
    ("user", "more", "spins", "policy"),
    [
        pytest.param({}, [], "5000", "default", id="nothing set"),
        pytest.param({}, ["--isolate"], "5000", "default", id="a child", marks=pytest.mark.slow),
        pytest.param({"OMP_WAIT_POLICY": "PASSIVE"}, [], "default", "PASSIVE", id="by the user"),
    ],
)
def test_threads_of_a_session_spin_briefly_unless_the_user_set_how_they_wait(
    options, store, root, user, more, spins, policy
):
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *more],
        env=kept | user, cwd=root, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    (record,) = store.records()
    assert record.environment["omp_spins"] == spins
    assert record.environment["omp_wait_policy"] == policy


def test_benchmark_only_runs_cases(session, tmp_path):
    result = session("--benchmark-only")
    assert result.ret == 0
    assert summarized(result, tmp_path)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--benchmark-skip"], "--benchmark-skip"),
        (["-m", "pretrained"], "selected none of"),
        (["-k", "patchcore and digits"], "patchcore and digits"),
    ],
    ids=["skipped", "marker", "keyword"],
)
def test_a_session_that_ran_nothing_says_why(session, more, reason):
    result = session(*more)
    assert result.ret in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    result.stdout.fnmatch_lines([f"no case was run:*{reason}*"])
    assert session(*more, "--fail-empty").ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_finished_cases_are_an_empty_session_too(session):
    assert session("--fail-empty").ret == 0
    result = session("--fail-empty")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines(["no case was run: 1 already finished*--rerun*"])
    assert session("--fail-empty", "--collect-only").ret == 0


def test_missing_weights_are_reported_once_in_two_lines(session, monkeypatch):
    monkeypatch.setenv("PROVING_GROUND_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", "/nonexistent")
    result = session("-k", "resnet18 and tiny and pretrained", "--fail-empty")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    said = [line for line in result.outlines if "resnet18.tv_in1k" in line]
    assert len(said) == 1
    place = result.outlines.index(said[0])
    assert result.outlines[place + 1].startswith("  curl -fL")


def test_a_session_from_scratch_says_what_its_figures_mean(session, monkeypatch):
    monkeypatch.setenv("PROVING_GROUND_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", "/nonexistent")
    session().stdout.no_fnmatch_line("random weights, because*")  # it was chosen
    both = session("-k", CASE.partition("-default")[0], "--rerun")
    both.stdout.fnmatch_lines(["random weights, because no file*harness works*"])
    both.stdout.fnmatch_lines(["thresholds of 1 case*2 held-out images*"])


def test_pytest_finds_the_options_from_any_folder(tmp_path):
    (point,) = (p for p in entry_points(group="pytest11") if p.name == "proving_ground")
    assert point.value == "bench.entry"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    where = {"cwd": tmp_path, "capture_output": True, "text": True, "check": True}
    assert "--images-seen" in subprocess.run([*command, "--help"], **where).stdout
    cases = ["--pyargs", "bench", "--collect-only", "-q", "-k", "padim_resnet18 and surface"]
    listed = subprocess.run([*command, *cases], **where).stdout
    assert "test_case[padim_resnet18-surface.woven-default-scratch-s0]" in listed
    assert f"results in {tmp_path / 'results'}" in listed


@pytest.mark.parametrize(
    ("folder", "above"),
    [
        (".venv/lib/python3/site-packages/bench", False),
        (".local/lib/python3/dist-packages/bench", False),
        ("prefix/src/bench", False),
        ("checkout/bench", True),
    ],
)
def test_a_project_around_the_environment_keeps_its_own_sessions(
    tmp_path, monkeypatch, folder, above
):
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    monkeypatch.setattr(bench_plugin, "_FOLDER", tmp_path / folder)
    monkeypatch.setattr(bench_plugin, "_BENCH", (tmp_path / folder,))
    assert bench_plugin._collects_cases(tmp_path / folder)
    assert bench_plugin._collects_cases(tmp_path) == above


def test_other_sessions_load_nothing_but_the_options(tmp_path):
    (tmp_path / "test_foreign.py").write_text(
        "import sys\n"
        "def test_light():\n"
        "    own = ('bench', 'models', 'datasets_lib')\n"
        "    loaded = {n for n in sys.modules if n.partition('.')[0] in own}\n"
        "    light = {f'bench.{n}' for n in ('arguments', 'entry', 'options', 'plugin')}\n"
        "    sizes = ('models.components.image_size', 'datasets_lib.images.geometry')\n"
        "    above = {n.rsplit('.', k)[0] for n in sizes for k in (1, 2)}\n"
        "    assert loaded <= {'bench', *light, *sizes, *above}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "proving ground" not in done.stdout


def test_options_that_another_plugin_has_are_spelled_out(options, tmp_path, root, plugin):
    plugin("profiling_plugin", SAME_OPTIONS)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "plugins")}
    place = options.index("--device")
    del options[place : place + 2]
    place = options.index("--profile")
    options[place : place + 2] = ["--profile", "--bench-profile", "smoke", "--co"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-p", "profiling_plugin"],
        env=environment, cwd=root, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "profiler: True printer" in done.stdout
    assert CASE in done.stdout
