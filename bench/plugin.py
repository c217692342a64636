"""The pytest plugin: options, cases as parameters, outcomes and the summary.

Collection imports no torch: whatever needs it is imported when a case runs.
"""

import shlex
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import pytest
from _pytest.terminal import TerminalReporter

from bench import selection
from bench.case import Case
from bench.environment import cuda_present
from bench.extensions import ExtensionError, load_extensions
from bench.gc_paused import gc_paused
from bench.options import add_options, plugin_files, settings_of
from bench.progress import Progress
from bench.protocol import PROFILES
from bench.settings import Settings
from bench.threads import wait_passively
from datasets_lib.discover import FoundDataset, available_datasets
from datasets_lib.layouts.category import DatasetError

if TYPE_CHECKING:
    from bench.session import BenchSession, Tally

SETTINGS = pytest.StashKey[Settings]()
DATASETS = pytest.StashKey[dict[str, FoundDataset]]()
CASES = pytest.StashKey[Sequence[Case]]()
TALLY: "pytest.StashKey[Tally]" = pytest.StashKey()

_LETTERS = {
    "cached": ("cached", "c", "CACHED"),
    "skipped": ("skipped", "s", "SKIPPED"),
    "timeout": ("failed", "T", "TIMEOUT"),
    "oom": ("failed", "O", "OOM"),
    "nan": ("failed", "N", "NAN"),
}


_MAX_REMARKS = 4
"""Lines about folders that are no datasets; a folder of many things is no reason to scroll."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Load extensions and register the markers of all catalogs, for ``--strict-markers``."""
    if not config.option.collectonly:  # before any plugin loads torch
        wait_passively(config.getoption("--device") or ("cuda" if cuda_present() else "cpu"))
    try:
        load_extensions(plugin_files(config))
    except ExtensionError as error:
        raise pytest.UsageError(str(error)) from None
    for name in sorted(_catalog_markers()):
        config.addinivalue_line("markers", f"{name}: cases of {name}")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Pause the garbage collector while thousands of items are made that live to the end.

    Without the pause, listing 5,472 cases takes 1.05 s, with it 0.57 s
    (bench/perf/collection.py).
    """
    with gc_paused():
        return (yield)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize functions that take ``case`` and ``bench_session`` with every case."""
    if not {"case", "bench_session"} <= set(metafunc.fixturenames):
        return
    config = metafunc.config
    if getattr(config.option, "numprocesses", None) or hasattr(config, "workerinput"):
        raise pytest.UsageError(
            "bench runs its cases one at a time, because two would slow each other down and spoil "
            "the measured speeds. Run without -n; --isolate runs cases in child processes."
        )
    try:
        settings = config.stash[SETTINGS] = settings_of(config)
        datasets = config.stash[DATASETS] = dict(available_datasets(settings.data_dirs))
        cases = config.stash[CASES] = selection.all_cases(settings, datasets)
    except (pytest.UsageError, DatasetError, ValueError) as error:
        raise pytest.Collector.CollectError(str(error)) from None  # shown without a traceback
    marks = _Marks(config, datasets)
    metafunc.parametrize(
        "case", [pytest.param(case, id=case.id, marks=marks.of(case)) for case in cases]
    )


class _Marks:
    """Creates each mark once, and registers the names of discovered datasets."""

    def __init__(self, config: pytest.Config, datasets: Mapping[str, FoundDataset]) -> None:
        self._made: dict[str, pytest.MarkDecorator] = {}
        self._own = _catalog_markers() | {name for name in datasets if name not in _PYTEST_MARKERS}
        for name in sorted(self._own - _catalog_markers()):
            config.addinivalue_line("markers", f"{name}: cases of the dataset {name}")

    def of(self, case: Case) -> list[pytest.MarkDecorator]:
        return [self._mark(name) for name in selection.keywords(case) if name in self._own]

    def _mark(self, name: str) -> pytest.MarkDecorator:
        if name not in self._made:
            self._made[name] = getattr(pytest.mark, name)
        return self._made[name]


_PYTEST_MARKERS = {
    *("skip", "skipif", "xfail", "parametrize", "usefixtures", "filterwarnings", "benchmark"),
    *("gpu", "network", "slow", "real_data", "tryfirst", "trylast"),
}


def _catalog_markers() -> set[str]:
    from bench.studies import STUDIES
    from datasets_lib.catalog import DATASETS as catalog
    from models.catalog import MODELS

    names = {"pretrained", "scratch", *STUDIES, *catalog}
    for entry in MODELS.values():
        names |= {entry.name, *entry.aliases, entry.family, entry.task, *entry.recipes}
    return names


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fail with suggestions when ``-k`` matches nothing, which is most likely a typo."""
    config = session.config
    if session.items or CASES not in config.stash or not config.option.keyword:
        return
    unknown = selection.unknown_words(config.option.keyword, config.stash[CASES])
    if unknown:
        lines = ["; ".join(_guesses(unknown)), *_not_datasets(config)]
        raise pytest.UsageError("\n".join(lines))


def _guesses(unknown: Mapping[str, list[str]]) -> list[str]:
    return [
        f"no case matches '{word}'"
        + (f": did you mean {' or '.join(near)}?" if near else "; --collect-only -q lists all")
        for word, near in unknown.items()
    ]


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    """Report what the session will do, and on which device."""
    if CASES not in config.stash:
        return []
    settings = config.stash[SETTINGS]
    profile = PROFILES[settings.profile]
    why = ""
    if not config.option.profile:
        full = "; --profile standard for the full protocol" if profile.name == "smoke" else ""
        why = f" (the default on {settings.device.partition(':')[0]}{full})"
    where = "one child process per group" if settings.isolate else "inline"
    lines = [
        f"profile {profile.name}{why}: {profile.about}",
        f"device {settings.device}, {where}, results in {settings.results_dir}",
    ]
    names = ", ".join(
        f"{name} ({len(dataset.categories)})" if dataset.categories else name
        for name, dataset in config.stash[DATASETS].items()
    )
    if settings.data_dirs:
        lines.append(f"datasets found: {names or 'none'}")
    keyword = config.option.keyword
    unknown = selection.unknown_words(keyword, config.stash[CASES]) if keyword else {}
    return lines + _not_datasets(config) + _guesses(unknown)


def _not_datasets(config: pytest.Config) -> list[str]:
    """Return lines about folders of the data folders that hold no dataset."""
    from bench.commands.data_folders import remarks

    found = {dataset.root for dataset in config.stash[DATASETS].values()}
    lines = [
        f"  {line}"
        for folder in config.stash[SETTINGS].data_dirs
        for line in remarks(folder, any(folder in root.parents for root in found))
    ]
    if len(lines) > _MAX_REMARKS:
        hidden = len(lines) - _MAX_REMARKS
        lines[_MAX_REMARKS:] = [f"  … and {hidden} more: python -m bench data where"]
    return lines


def _cases_of(items: Iterable[pytest.Item]) -> list[Case]:
    """Return the cases that ``-k`` and ``-m`` left."""
    parameters = (getattr(getattr(item, "callspec", None), "params", {}) for item in items)
    return [values["case"] for values in parameters if isinstance(values.get("case"), Case)]


@pytest.fixture(scope="session")
def bench_session(request: pytest.FixtureRequest) -> Iterator["BenchSession"]:
    """Return the session that runs the cases."""
    from bench.session import BenchSession

    config = request.config
    terminal: TerminalReporter | None = config.pluginmanager.get_plugin("terminalreporter")
    progress = Progress(terminal, len(request.session.items), lines=config.get_verbosity() == 0)
    cases = _cases_of(request.session.items)
    session = BenchSession(config.stash[SETTINGS], config.stash[DATASETS], progress, cases)
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


def pytest_terminal_summary(
    terminalreporter: TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Write what ran, the results, what was skipped and what to do next."""
    if TALLY not in config.stash:
        return
    from bench.summary import write_summary

    write_summary(terminalreporter, config.stash[TALLY], config.stash[SETTINGS])
    if exitstatus == pytest.ExitCode.INTERRUPTED:
        command = shlex.join(["pytest", *map(str, config.invocation_params.args)])
        terminalreporter.write_line(f"resume with: {command}", bold=True)
