"""``python -m bench data verify``: check every file of datasets and name those that are wrong."""

import argparse
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.arguments import expression, positive
from bench.commands.command import CommandError, data_dirs_of, folders
from bench.commands.data_folders import one_level_up, remarks, searchable
from bench.commands.output import ProgressBar
from bench.near_names import did_you_mean
from datasets_lib.catalog import DATASETS
from datasets_lib.discover import FoundDataset, available_datasets
from datasets_lib.images.bit_depth import BITS
from datasets_lib.layouts.folders import folder_id
from datasets_lib.layouts.split import grouped_by

if TYPE_CHECKING:
    from datasets_lib.verify.images import Problem
    from datasets_lib.verify.sets import Report

_MAX_PLACES = 5


def add(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to the parser."""
    action = actions.add_parser(
        "verify", help="decode every file, pair masks, count images, look for test images in train"
    )
    action.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="dataset or dataset.category (default: every dataset found; with --data-dir, those "
        "that it holds)",
    )
    action.add_argument(
        "--bits", type=int, choices=BITS, default=16, help="bits that cameras use in 16-bit files"
    )
    action.add_argument(
        "--split-by", type=expression, default="", metavar="PREFIX", help="as in a session"
    )
    action.add_argument(
        "--max-megapixels", type=positive, metavar="N", help="as in a session (default: 89)"
    )
    action.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from datasets_lib.images.decode import set_pixel_limit
    from datasets_lib.verify.sets import (
        Check,
        excusing,
        verify_category,
        verify_labeled,
        verify_textures,
    )

    set_pixel_limit(options.max_megapixels)
    datasets = available_datasets(data_dirs_of(options))
    chosen = options.names or [name for name in datasets if _is_asked(datasets[name], options)]
    began = time.monotonic()
    reports = []
    for dataset, category in _wanted(chosen, datasets, options):
        entry = DATASETS.get(dataset.name)
        expected = entry.counts.get(category) if entry else None
        name, reader = dataset.name, dataset.reader
        title = f"{name}.{category}" if category else name
        with ProgressBar(title, "files", lines=1) as progress:
            check = Check(expected, options.bits, progress)
            if category:
                with grouped_by(options.split_by):
                    path = dataset.categories[category]
                    report = verify_category(name, category, path, reader, check)
            elif dataset.task == "classification":
                report = verify_labeled(name, dataset.root, reader, check)
            else:
                report = verify_textures(name, dataset.root, reader, check)
        reports.append(excusing(report, entry.known_flaws) if entry else report)
    if not reports:
        raise CommandError(
            "Nothing to verify: no dataset was found (python -m bench data where lists the folders "
            f"searched).{_too_deep(data_dirs_of(options), datasets)}"
        )
    print("\n".join(_text(reports)))
    if not options.names:
        for line in _left_out(options, [name for name in datasets if name not in chosen]):
            print(line)
    wrong = sum(bool(report.problems) for report in reports)
    seconds = time.monotonic() - began
    print(f"{len(reports) - wrong} of {len(reports)} verify, {seconds:.0f} s")
    return 1 if wrong else 0


def _left_out(options: argparse.Namespace, elsewhere: Sequence[str]) -> Iterator[str]:
    """Yield what was not verified: folders that are no datasets, and datasets elsewhere."""
    for folder in searchable(data_dirs_of(options)):
        yield from remarks(folder, found=True)
    if elsewhere:
        yield (
            "not verified, because they are in other folders (give their names to verify them): "
            f"{', '.join(elsewhere)}"
        )


def _is_asked(dataset: FoundDataset, options: argparse.Namespace) -> bool:
    """Return whether a dataset lies in a folder that was named, or none was."""
    named = folders(options.data_dir or ())
    return not named or any(folder in dataset.root.parents for folder in named)


def _wanted(
    names: Iterable[str], datasets: Mapping[str, FoundDataset], options: argparse.Namespace
) -> Iterator[tuple[FoundDataset, str]]:
    """Yield each dataset with each category, or with an empty one where it has none."""
    for wanted in names:
        dataset_name, _, category = wanted.partition(".")
        if dataset_name not in datasets and folder_id(dataset_name) in datasets:
            dataset_name, category = folder_id(dataset_name), category and folder_id(category)
        if dataset_name not in datasets:
            raise CommandError(_not_here(dataset_name, datasets, options))
        dataset = datasets[dataset_name]
        if category and category not in dataset.categories:
            raise CommandError(
                f"{dataset_name} has no category '{category}' at {dataset.root}; it has "
                f"{', '.join(dataset.categories) or 'none'}."
            )
        for name in [category] if category else dataset.categories or [""]:
            yield dataset, name


def _not_here(name: str, datasets: Mapping[str, FoundDataset], options: argparse.Namespace) -> str:
    entry = DATASETS.get(name)
    if entry and entry.embedded:
        return f"{name} is embedded: it has no files to verify."
    known, searched = ", ".join(datasets), ", ".join(map(str, data_dirs_of(options)))
    if searched:
        found = f"found {known or 'no dataset'} in {searched}"
    else:  # what is known then comes with an installed package
        installed = f"only {known} (installed)" if known else "no dataset"
        found = f"found {installed}; no data folder was searched"
    found = f"Wanted to verify '{name}', {found}"
    if entry is None and (meant := did_you_mean(name, datasets)):
        return f"{found}: {meant}"
    remedy = f"get it with python -m bench data get {name}" if entry else "check its name"
    return (
        f"{found}: {remedy}, or name its folder's parent with --data-dir."
        f"{_too_deep(data_dirs_of(options), datasets)}"
    )


def _too_deep(dirs: Sequence[Path], datasets: Mapping[str, FoundDataset]) -> str:
    """Return a hint where a data folder, which holds no dataset, is itself one or a category."""
    above = {folder for dataset in datasets.values() for folder in dataset.root.parents}
    hints = ((folder, one_level_up(folder)) for folder in dirs if folder not in above)
    return "".join(f" {folder}: {hint}." for folder, hint in hints if hint)


def _text(reports: "Sequence[Report]") -> Iterator[str]:
    from tabulate import tabulate

    rows = []
    for report in reports:
        counts = report.counts
        expected_counts = (
            (counts.train, counts.validation, counts.test, counts.defective) if counts else ()
        )
        problems = len(report.problems)
        verdict = "verifies" if not problems else f"{problems} problem{'s' * (problems > 1)}"
        cells = [f"{count:,}" if count else "–" for count in expected_counts] or ["?"] * 4
        rows.append([report.name, *cells, ", ".join(report.notes), verdict])
    headers = ["", "train", "validation", "test", "defective", "images are", "verdict"]
    sides = ["left", "right", "right", "right", "right", "left", "left"]
    yield tabulate(rows, headers, disable_numparse=True, colalign=sides)
    for report in reports:
        if report.problems:
            yield f"\n{report.name}:"
            yield from _problems(report.problems)


def _problems(problems: "Sequence[Problem]") -> Iterator[str]:
    """Yield the problems by kind: the first files of each, then a count of the rest."""
    by_kind: dict[str, list[str]] = {}
    for problem in problems:
        by_kind.setdefault(problem.kind, []).append(problem.where)
    for kind, places in by_kind.items():
        yield f"  {kind}" + (f" ({len(places)}):" if any(places) else "")
        yield from (f"    {place}" for place in places[:_MAX_PLACES] if place)
        if len(places) > _MAX_PLACES:
            yield f"    … and {len(places) - _MAX_PLACES:,} more"
