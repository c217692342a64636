"""What a session of cases is made of: settings, datasets and cases, from its options."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import pytest

from bench import selection
from bench.case import Case
from bench.extensions import ExtensionError, load_extensions
from bench.options import plugin_files, settings_of
from bench.settings import Settings
from datasets_lib.discover import FoundDataset, find_datasets
from datasets_lib.layouts.category import DatasetError

_PYTEST_MARKERS = {
    *("skip", "skipif", "xfail", "parametrize", "usefixtures", "filterwarnings", "benchmark"),
    *("gpu", "network", "slow", "real_data", "tryfirst", "trylast"),
}
"""Markers that a dataset of the same name must not set."""


@dataclass(frozen=True)
class Collected:
    """What a session offers.

    Attributes:
        settings: Options of the session.
        datasets: Datasets on disk by name.
        cases: Every case of every study.
    """

    settings: Settings
    datasets: Mapping[str, FoundDataset]
    cases: Sequence[Case]

    @property
    def markers(self) -> set[str]:
        """Return the names of the markers of its cases."""
        return selection.catalog_markers() | (self.datasets.keys() - _PYTEST_MARKERS)


def collect(config: pytest.Config) -> Collected:
    """Load extensions and datasets, list the cases, and register their markers.

    Raises:
        pytest.UsageError: An option, a plugin or a data folder is wrong; the message says what to
            change.
    """
    _check_alone(config)
    try:
        load_extensions(plugin_files(config))
        settings = settings_of(config)
        datasets = find_datasets(settings.data_dirs)
        collected = Collected(settings, datasets, selection.all_cases(settings, datasets))
    except (ExtensionError, DatasetError, ValueError) as error:
        raise pytest.UsageError(str(error)) from None
    for name in sorted(collected.markers):
        config.addinivalue_line("markers", f"{name}: cases of {name}")
    # Unknown where pytest-benchmark is switched off.
    config.addinivalue_line("markers", "benchmark: measured by the proving ground")
    return collected


def parameters(collected: Collected) -> Iterator[object]:
    """Yield every case as a parameter of pytest, with its id and marks."""
    own = collected.markers

    @cache
    def mark(name: str) -> pytest.MarkDecorator:
        return getattr(pytest.mark, name)  # type: ignore[no-any-return]

    for case in collected.cases:
        marks = [mark(name) for name in selection.keywords(case) if name in own]
        yield pytest.param(case, id=case.id, marks=marks)


def _check_alone(config: pytest.Config) -> None:
    option = config.option
    parallel = getattr(option, "numprocesses", None) or getattr(option, "tx", None)
    if parallel or hasattr(config, "workerinput"):
        raise pytest.UsageError(
            "bench runs its cases one at a time, because two would slow each other down and spoil "
            "the measured speeds. Run without -n; --isolate runs cases in child processes."
        )
