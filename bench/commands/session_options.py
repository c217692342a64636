"""Options that commands share with benchmark sessions, and what they select."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.case import Case
from bench.commands.command import CommandError
from bench.options import declare_options
from bench.provenance.fingerprint import ROOT
from bench.read_options import settings_from
from bench.settings import Settings
from datasets_lib.discover import FoundDataset
from datasets_lib.paths import absolute_path

_ELSEWHERE = {
    "--rerun": False,
    "--keep-stale": False,
    "--fail-empty": False,
    "--save-models": False,
    "--gate": False,
}
"""Options of a session that make no sense where the command decides what runs."""


@dataclass(frozen=True)
class Selected:
    """What a command's options select.

    Attributes:
        settings: The settings.
        datasets: Datasets on disk by name.
        cases: The cases.
    """

    settings: Settings
    datasets: Mapping[str, FoundDataset]
    cases: Sequence[Case]


def add_session_options(command: argparse.ArgumentParser) -> None:
    """Add ``-k`` and the options of a session."""
    command.add_argument(
        "-k", dest="keyword", metavar="EXPR", default="", help="select cases, as pytest does"
    )
    group = command.add_argument_group("session options, as in pytest bench")

    def add(name: str, *, dest: str = "", **how: Any) -> None:
        dest = f"bench_{dest or name[2:].replace('-', '_')}"
        if name in _ELSEWHERE:
            command.set_defaults(**{dest: False})
        else:
            group.add_argument(name, dest=dest, **how)

    declare_options(add)
    command.set_defaults(collectonly=False)


def select(options: argparse.Namespace) -> Selected:
    """Return what the options select.

    Raises:
        CommandError: An option is wrong, or no case is selected.
    """
    from bench.extensions import load_extensions
    from bench.selection import all_cases, matching
    from datasets_lib.discover import available_datasets

    options.bench_plugin = [*options.plugin, *(options.bench_plugin or [])]
    load_extensions(map(absolute_path, options.bench_plugin))
    try:
        settings = settings_from(options, results_home())
        datasets = available_datasets(settings.data_dirs)
        cases = all_cases(settings, datasets)
        chosen = matching(cases, options.keyword) if options.keyword else cases
    except (pytest.UsageError, ValueError) as error:
        raise CommandError(str(error)) from None
    if not chosen:
        raise CommandError(
            f"-k {options.keyword!r} selects none of {len(cases):,} cases. "
            "uv run pytest bench --collect-only -q lists them."
        )
    return Selected(settings, datasets, chosen)


def results_home() -> Path:
    """Return the clone, or the current folder of an installed package."""
    return ROOT if (ROOT / "pyproject.toml").is_file() else Path.cwd()
