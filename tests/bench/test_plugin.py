"""What the plugin tells pytest: outcomes, exit codes, and how to resume."""

from collections import Counter
from types import SimpleNamespace

import pytest

from bench import plugin
from bench.plugin import COLLECTED, TALLY
from bench.session import Tally


@pytest.fixture
def config(monkeypatch):
    """The configuration of a session of cases on a GPU, as far as the plugin reads it."""
    settings = SimpleNamespace(device="cuda")
    option = SimpleNamespace(collectonly=False, bench_fail_empty=False, benchmark_compare=True)
    return SimpleNamespace(
        stash={COLLECTED: SimpleNamespace(settings=settings), TALLY: Tally()},
        option=option,
        invocation_params=SimpleNamespace(args=("bench", "-k", "a and b", "--seeds=3")),
        pluginmanager=SimpleNamespace(get_plugin=lambda _: None),
        get_verbosity=lambda: 1,
    )


@pytest.mark.parametrize(
    ("failed", "ended", "code"),
    [
        (1, pytest.ExitCode.TESTS_FAILED, 10),
        (2, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.TESTS_FAILED),
        (1, pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERRUPTED),
    ],
    ids=["a regression alone", "another failure", "Ctrl-C"],
)
def test_regressions_have_an_exit_code_if_nothing_else_happened(config, failed, ended, code):
    config.stash[TALLY] = Tally(outcomes=Counter(regressed=1, ok=2))
    session = SimpleNamespace(config=config, testsfailed=failed, exitstatus=ended)
    plugin.pytest_sessionfinish(session)
    assert session.exitstatus == code


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        (pytest.ExitCode.INTERRUPTED, ["resume with: pytest bench -k 'a and b' --seeds=3"]),
        (pytest.ExitCode.TESTS_FAILED, []),
    ],
)
def test_an_interrupted_session_says_how_to_resume(config, monkeypatch, status, lines):
    monkeypatch.setattr(plugin, "_summarize", lambda *_: None)
    written = []
    terminal = SimpleNamespace(write_line=lambda line, **_: written.append(line))
    plugin.pytest_terminal_summary(terminal, status, config)
    assert written == lines


@pytest.mark.parametrize(
    ("outcome", "result", "shown"),
    [
        ("ok", "passed", ("passed", ".", "PASSED")),
        ("cached", "passed", ("cached", "c", "CACHED")),
        ("skipped", "skipped", ("skipped", "s", "SKIPPED")),
        ("timeout", "failed", ("failed", "T", "TIMEOUT")),
        ("oom", "failed", ("failed", "O", "OOM")),
        ("nan", "failed", ("failed", "N", "NAN")),
        ("crash", "failed", ("failed", "F", "CRASH")),
        ("regressed", "failed", ("failed", "F", "REGRESSED")),
        (None, "passed", None),
    ],
)
def test_outcomes_have_letters_and_words(config, outcome, result, shown):
    properties = [("outcome", outcome)] if outcome else []
    report = pytest.TestReport(
        "id", ("file", 1, "test"), {}, result, None, "call", user_properties=properties
    )
    assert plugin.pytest_report_teststatus(report, config) == shown
    config.get_verbosity = lambda: 0  # each case has its own line
    quiet = plugin.pytest_report_teststatus(report, config)
    assert quiet == (shown and (shown[0], "", shown[2]))
    report.when = "setup"
    assert plugin.pytest_report_teststatus(report, config) is None


@pytest.mark.parametrize(
    ("names", "added"), [({"gpu": "NVIDIA H200", "cpu": "x"}, {"gpu": "NVIDIA H200"}), ({}, {})]
)
def test_pytest_benchmark_learns_of_the_gpu(config, monkeypatch, names, added):
    monkeypatch.setattr("bench.environment.expected", lambda _: names)
    machine = {"node": "here"}
    plugin.pytest_benchmark_update_machine_info(config, machine)
    assert machine == {"node": "here", **added}
    del config.stash[COLLECTED]  # a session of another project
    plugin.pytest_benchmark_update_machine_info(config, other := {})
    assert other == {}
