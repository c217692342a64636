"""``python -m bench doctor``: check what a session would find here, and say how to fix the rest."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands.command import (
    add_cache_dir,
    add_data_dir,
    add_weights_dir,
    cache_dir_of,
    data_dirs_of,
    folders,
)
from bench.commands.data_folders import searchable, trouble_with
from bench.commands.output import free_bytes, megabytes
from bench.printable import printable
from datasets_lib.paths import folder_bytes

if TYPE_CHECKING:
    from bench.case import Case
    from bench.needs import Missing, Weights
    from datasets_lib.discover import FoundDataset


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "doctor", help="check device, folders, datasets and weights; report what is missing"
    )
    add_data_dir(command)
    add_weights_dir(command)
    add_cache_dir(command)
    command.add_argument("--results-dir", type=Path, default=Path("results"), metavar="DIR")
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from bench.commands.machine import device_lines, versions
    from bench.environment import default_profile
    from bench.needs import all_missing, look_for_weights, offered_cases, weights_of
    from datasets_lib.discover import available_datasets

    print(f"versions  {versions()}")
    for line in device_lines():
        print(f"device    {line}")
    for line in _places(options):
        print(line)
    datasets = available_datasets(searchable(data_dirs_of(options)))
    profile = default_profile()
    cases = offered_cases(profile, datasets)
    weights = look_for_weights(filter(None, map(weights_of, cases)), folders(options.weights_dir))
    print("\n".join([*_weights(weights), *_datasets(cases, datasets)]))
    missing = all_missing(cases, datasets, weights)
    if missing:
        print("\n".join(_remedies(missing, options)))
    runnable = _runnable(cases, datasets, weights)
    print(f"{runnable:,} of {len(cases):,} cases can run (profile {profile})")
    return 0 if runnable else 1


def _places(options: argparse.Namespace) -> Iterator[str]:
    from bench.commands.machine import writable

    cache = cache_dir_of(options)
    places = {"cache": cache, "results": options.results_dir.absolute()}
    for number, folder in enumerate(data_dirs_of(options), 1):
        places[f"data {number}"] = folder
    for number, folder in enumerate(folders(options.weights_dir), 1):
        places[f"weights {number}"] = folder
    for name, folder in places.items():
        used = f", holds {megabytes(folder_bytes(folder))}" if name == "cache" else ""
        problem = ""
        if name.startswith(("data", "weights")):  # these are only read
            if trouble := trouble_with(folder):
                problem = f"  PROBLEM: {trouble}"
        elif not writable(folder):
            problem = f"  PROBLEM: not writable, name another with --{name}-dir"
        free = megabytes(free_bytes(folder))
        yield f"{name:9} {printable(folder)}: {free} free{used}{problem}"


def _weights(weights: "Mapping[str, Weights]") -> Iterator[str]:
    from models.catalog import WEIGHTS

    for tag, entry in weights.items():
        if entry.problem:
            state = f"PROBLEM: {printable(entry.problem)}"
        elif entry.resolved is None:
            state = "missing" if entry.offline else "missing, downloaded when first needed"
            state += f" ({entry.offline})" if entry.offline else ""
        else:
            prefix = WEIGHTS[tag].sha256_prefix
            if prefix is None:
                match = "no checksum published"
            elif entry.resolved.sha256.startswith(prefix):
                match = "sha256 as published"
            else:
                match = f"sha256 {entry.resolved.sha256[:8]}…, published {prefix}…: they differ"
            state = f"{printable(entry.resolved.path)} ({match})"
        yield f"weights   {tag}: {state}"


def _datasets(cases: "Sequence[Case]", datasets: "Mapping[str, FoundDataset]") -> Iterator[str]:
    from datasets_lib.catalog import DATASETS

    for name in dict.fromkeys(case.dataset for case in cases):
        entry = DATASETS.get(name)
        if entry and entry.embedded:
            state = "embedded"
        elif name not in datasets:
            state = "missing"
        else:
            absent = set(entry.categories if entry else ()) - set(datasets[name].categories)
            state = printable(datasets[name].root)
            state += f" (lacks {', '.join(sorted(absent))})" if absent else ""
        yield f"dataset   {name}: {state}"


def _remedies(missing: "Sequence[Missing]", options: argparse.Namespace) -> Iterator[str]:
    from bench.remedy import remedy

    weights_dirs = folders(options.weights_dir)
    data_dirs = folders(options.data_dir or [])
    yield "what is missing, the cases it blocks, and the remedy:"
    for item in missing:
        blocks = ", ".join(f"{count:,} of {study}" for study, count in item.blocks.items())
        yield f"  {item.what}: {blocks}"
        yield f"    {remedy(item.what, weights_dirs, data_dirs)}"


def _runnable(
    cases: "Sequence[Case]",
    datasets: "Mapping[str, FoundDataset]",
    weights: "Mapping[str, Weights]",
) -> int:
    from bench.needs import missing_of

    return sum(not missing_of(case, datasets, weights) for case in cases)
