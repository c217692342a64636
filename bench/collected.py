"""What a session of cases is made of: settings, datasets and cases, from its options."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property

import pytest

from bench import selection
from bench.case import Case
from bench.extensions import ExtensionError, load_extensions, silent_files
from bench.near_names import near_names
from bench.read_options import plugin_files, settings_of
from bench.settings import Settings
from datasets_lib.catalog import DATASETS
from datasets_lib.discover import FoundDataset, available_datasets
from datasets_lib.layouts.category import DatasetError
from datasets_lib.paths import data_home

_PYTEST_MARKERS = {
    *("skip", "skipif", "xfail", "parametrize", "usefixtures", "filterwarnings", "benchmark"),
    *("gpu", "slow", "real_data", "tryfirst", "trylast"),
}
"""Markers that a dataset, category or augmentation of the same name must not set."""

_MAX_REMARKS = 4
"""Maximum number of lines about folders that are not datasets."""


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

    @cached_property
    def markers(self) -> set[str]:
        """Return the names of the markers of its cases, and those that catalog entries can have."""
        own = {name for case in self.cases for name in selection.keywords(case)}
        return (selection.catalog_markers() | own | self.datasets.keys()) - _PYTEST_MARKERS


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
        datasets = available_datasets(settings.data_dirs)
        collected = Collected(settings, datasets, selection.all_cases(settings, datasets))
    except (ExtensionError, DatasetError, ValueError) as error:
        raise pytest.UsageError(str(error)) from None
    for name in sorted(collected.markers):
        config.addinivalue_line("markers", f"{name}: cases of {name}")
    # Unknown where pytest-benchmark is switched off.
    config.addinivalue_line("markers", "benchmark: measured by the proving ground")
    return collected


def check_selection(config: pytest.Config, collected: Collected) -> None:
    """Reject words of ``-m`` that name no marker, and a ``-k`` that selects nothing due to a typo.

    Raises:
        pytest.UsageError: Some word is unknown; the message has the nearest names.
    """
    keyword, markers = config.option.keyword or "", config.option.markexpr or ""
    known = {line.partition(":")[0].partition("(")[0].strip() for line in config.getini("markers")}
    guesses = [
        _guess("no marker is named", word, near_names(word, collected.markers), "--markers")
        for word in selection.unknown_markers(markers, known)
    ]
    with suppress(ValueError):  # pytest itself says what is wrong with an expression
        if keyword and not selection.matching(collected.cases, keyword):
            guesses += keyword_guesses(keyword, collected)
    if guesses:
        remarks = [*silent_files(collected.settings.plugins), *not_datasets(collected)]
        raise pytest.UsageError("\n".join(["; ".join(guesses), *remarks]))


def not_datasets(collected: Collected) -> list[str]:
    """Return lines about folders of the data folders that hold no dataset."""
    from bench.commands.data_folders import remarks

    found = {dataset.root for dataset in collected.datasets.values()}
    lines = [
        f"  {line}"
        for folder in collected.settings.data_dirs
        for line in remarks(folder, any(folder in root.parents for root in found))
    ]
    if len(lines) > _MAX_REMARKS:
        hidden = len(lines) - _MAX_REMARKS + 1
        lines[_MAX_REMARKS - 1 :] = [f"  … and {hidden} more: python -m bench data where"]
    return lines


def keyword_guesses(keyword: str, collected: Collected) -> list[str]:
    """Return suggestions for the words of a ``-k`` expression that match no case."""
    unknown = selection.unknown_words(keyword, collected.cases)
    absent = _absent_datasets(collected) if unknown else ()
    return [
        _absent_hint(word, absent)
        or _guess("no case matches", word, near) + ("" if near else _folder_hint(collected))
        for word, near in unknown.items()
    ]


def _absent_datasets(collected: Collected) -> set[str]:
    """Return the datasets of the user that cases of earlier sessions ran on, and this one lacks."""
    from bench.store import Store

    ran = {record.case.dataset for record in Store(collected.settings.runs_dir).records()}
    return ran - DATASETS.keys() - collected.datasets.keys()


def _absent_hint(word: str, absent: Iterable[str]) -> str:
    """Return a hint if a word names a dataset that ran before; empty otherwise."""
    parts = re.split(r"[-.]", word.lower())
    return "; ".join(
        f"no case matches '{word}'; {name} ran before: name the folder that holds it with "
        "--data-dir"
        for name in sorted(absent)
        if name in parts
    )


def _folder_hint(collected: Collected) -> str:
    """Return a hint to pass --data-dir; empty if it was given."""
    settings = collected.settings
    if set(settings.data_dirs) - {data_home(settings.cache_dir)}:
        return ""
    command = "python -m bench data where --data-dir DATA"
    return f"; datasets of your own need --data-dir DATA ({command} lists them)"


def _guess(text: str, word: str, near: Sequence[str], listing: str = "--collect-only -q") -> str:
    hint = f": did you mean {' or '.join(near)}?" if near else f"; {listing} lists all"
    return f"{text} '{word}'{hint}"


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
