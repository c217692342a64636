"""The pytest plugin: options, cases as parameters, outcomes and the summary.

It is loaded by every pytest session of an environment, so it imports little until a session asks
for cases. Collection imports no torch: whatever needs it is imported when a case runs.
"""

import os
import shlex
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from _pytest.terminal import TerminalReporter

from bench.options import add_options

if TYPE_CHECKING:
    from bench.collected import Collected
    from bench.session import BenchSession, Tally

COLLECTED: "pytest.StashKey[Collected]" = pytest.StashKey()
TALLY: "pytest.StashKey[Tally]" = pytest.StashKey()
SUMMARIZED = pytest.StashKey[bool]()

_LETTERS = {
    "cached": ("cached", "c", "CACHED"),
    "skipped": ("skipped", "s", "SKIPPED"),
    "timeout": ("failed", "T", "TIMEOUT"),
    "oom": ("failed", "O", "OOM"),
    "nan": ("failed", "N", "NAN"),
}


_FOLDER = Path(os.path.realpath(__file__)).parent
_BENCH = (_FOLDER, _FOLDER / "test_cases.py")
"""Paths that collect the cases and nothing else."""

_REGRESSION_EXIT = 10
"""Exit code of a session with ``--gate`` in which regressions alone failed."""

_ENDED = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
"""Exit codes of a session that went through its tests, even if there were none."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """List the cases if the session will ask for them; mistakes stop it before it begins."""
    # An error raised during collection would come with a traceback and another exit code.
    paths = [_path_of(argument, config) for argument in config.args]
    if any(map(_collects_cases, paths)):
        from bench.collected import check_selection, collect
        from bench.environment import cuda_present
        from bench.threads import spin_briefly

        if not config.option.collectonly:  # before any plugin loads torch
            spin_briefly(config.option.bench_device or ("cuda" if cuda_present() else "cpu"))
        config.stash[COLLECTED] = collect(config)
        if all(path in _BENCH for path in paths):  # other tests may have what -k and -m name
            check_selection(config, config.stash[COLLECTED])


def _collects_cases(path: Path) -> bool:
    """Return whether a path collects the cases, alone or among other tests.

    A folder around an environment that has the harness installed does not: it is another project.
    """
    return path in _BENCH or (path in _FOLDER.parents and not _is_installed(_FOLDER))


def _is_installed(folder: Path) -> bool:
    """Return whether a folder is part of a Python environment, unlike a checkout."""
    within = {"site-packages", "dist-packages"} & set(folder.parts)
    return bool(within) or Path(sys.prefix).resolve() in folder.parents


def _path_of(argument: str, config: pytest.Config) -> Path:
    """Return the file or folder that an argument of pytest names."""
    name = argument.partition("::")[0]
    if config.option.pyargs and name in ("bench", "bench.test_cases"):
        return _FOLDER
    return Path(os.path.realpath(config.invocation_params.dir / name))


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Pause the garbage collector while thousands of items are made that live to the end.

    Without the pause, listing 5,472 cases takes 1.05 s, with it 0.57 s
    (bench/perf/collection.py).
    """
    with ExitStack() as stack:
        if COLLECTED in session.config.stash:
            from bench.gc_paused import gc_paused

            stack.enter_context(gc_paused())
        return (yield)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize functions that take ``case`` and ``bench_session`` with every case."""
    if not {"case", "bench_session"} <= set(metafunc.fixturenames):
        return
    from bench.collected import collect, parameters

    config = metafunc.config
    if COLLECTED not in config.stash:  # a test file of the user's own
        try:
            config.stash[COLLECTED] = collect(config)
        except pytest.UsageError as error:  # shown without a traceback
            raise pytest.Collector.CollectError(str(error)) from None
    metafunc.parametrize("case", list(parameters(config.stash[COLLECTED])))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, None, None]:
    """Let pytest-benchmark see that cases are benchmarks."""
    with ExitStack() as stack:
        if COLLECTED in config.stash:
            from bench.selected import as_benchmarks

            stack.enter_context(as_benchmarks(items))
        yield


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    """Report what the session will do, and on which device."""
    if COLLECTED not in config.stash:
        return []
    from bench.selected import header, selected_cases

    return header(config, config.stash[COLLECTED], selected_cases(items))


@pytest.fixture(scope="session")
def bench_session(request: pytest.FixtureRequest) -> Iterator["BenchSession"]:
    """Return the session that runs the cases."""
    from bench.progress import Progress
    from bench.selected import selected_cases
    from bench.session import BenchSession

    config = request.config
    terminal: TerminalReporter | None = config.pluginmanager.get_plugin("terminalreporter")
    cases = selected_cases(request.session.items)
    progress = Progress(terminal, len(cases), lines=config.get_verbosity() == 0)
    collected = config.stash[COLLECTED]
    session = BenchSession(
        collected.settings,
        dict(collected.datasets),
        progress,
        cases,
        gate=config.option.bench_gate,
    )
    config.stash[TALLY] = session.tally
    yield session
    session.close()


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(
    report: pytest.TestReport | pytest.CollectReport, config: pytest.Config
) -> tuple[str, str, str] | None:
    """Map case outcomes to pytest's letter and word; no letter where each case has its own line."""
    if not isinstance(report, pytest.TestReport) or report.when != "call":
        return None
    outcome = dict(report.user_properties).get("outcome")
    if outcome is None:
        return None
    category, letter, word = _LETTERS.get(
        str(outcome),
        ("passed", ".", "PASSED") if report.passed else ("failed", "F", str(outcome).upper()),
    )
    return category, "" if config.get_verbosity() == 0 else letter, word


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Give a session that ran no case, or in which cases only regressed, an exit code of its own.

    The former is an error only if asked for.
    """
    config = session.config
    if COLLECTED not in config.stash or config.option.collectonly:
        return
    if config.option.bench_fail_empty and not (TALLY in config.stash and config.stash[TALLY].ran):
        session.exitstatus = session.exitstatus or pytest.ExitCode.NO_TESTS_COLLECTED
    regressed = config.stash[TALLY].outcomes["regressed"] if TALLY in config.stash else 0
    failed = session.exitstatus == pytest.ExitCode.TESTS_FAILED  # else it was also interrupted
    if failed and regressed and regressed == session.testsfailed:
        session.exitstatus = _REGRESSION_EXIT


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, object]
) -> None:
    """Add the product of the GPU that cases run on, which pytest-benchmark does not know."""
    if COLLECTED not in config.stash:
        return
    from bench.environment import expected

    if gpu := expected(config.stash[COLLECTED].settings.device).get("gpu"):
        machine_info["gpu"] = gpu


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_group_stats(
    config: pytest.Config, benchmarks: Sequence[Mapping[str, object]]
) -> None:
    """Report how many cases ``--benchmark-compare`` could not compare; pytest-benchmark groups."""
    terminal: TerminalReporter | None = config.pluginmanager.get_plugin("terminalreporter")
    if COLLECTED not in config.stash or not config.option.benchmark_compare or terminal is None:
        return
    from bench.replay import uncompared

    if remark := uncompared(benchmarks):
        terminal.ensure_newline()
        terminal.write_line(remark)


def pytest_terminal_summary(
    terminalreporter: TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Write what ran, the results, what was skipped and what to do next."""
    if TALLY in config.stash or exitstatus in _ENDED:
        _summarize(terminalreporter, config)
    if TALLY in config.stash and exitstatus == pytest.ExitCode.INTERRUPTED:
        command = shlex.join(["pytest", *map(str, config.invocation_params.args)])
        terminalreporter.write_line(f"resume with: {command}", bold=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Write the summary of a session whose end another plugin interrupted."""
    terminal: TerminalReporter | None = config.pluginmanager.get_plugin("terminalreporter")
    if TALLY in config.stash and terminal is not None:
        _summarize(terminal, config)


def _summarize(terminal: TerminalReporter, config: pytest.Config) -> None:
    """Write the summary, once."""
    if COLLECTED not in config.stash or SUMMARIZED in config.stash or config.option.collectonly:
        return
    from bench.session import Tally
    from bench.summary import write_summary

    config.stash[SUMMARIZED] = True
    write_summary(terminal, config.stash.get(TALLY, Tally()), config.stash[COLLECTED].settings)
