"""``python -m bench data list``: the catalog, with what is on disk."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.commands.command import data_dirs_of
from bench.commands.data_folders import searchable, trouble_with
from bench.commands.output import megabytes
from bench.printable import printable
from datasets_lib.catalog import DATASETS
from datasets_lib.discover import FoundDataset, available_datasets
from datasets_lib.entry import DatasetEntry


def add(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to the parser."""
    action = actions.add_parser(
        "list", help="list every dataset: license, size, and whether it was found"
    )
    action.add_argument("--json", action="store_true", help="print JSON, one object per dataset")
    action.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    dirs = data_dirs_of(options)
    rows = rows_of(available_datasets(searchable(dirs)))
    print(json.dumps(rows, indent=1) if options.json else _table(rows, dirs))
    return 0


def rows_of(datasets: Mapping[str, FoundDataset]) -> list[dict[str, Any]]:
    """Return a plain object per dataset: the catalog's, then the user's own."""
    catalog = [_row(entry, datasets.get(name)) for name, entry in DATASETS.items()]
    custom: list[dict[str, Any]] = [
        {
            "name": name,
            "title": "(your own)",
            "task": dataset.task,
            "categories": len(dataset.categories),
            "images": None,
            "bytes": None,
            "license": None,
            "here": str(dataset.root),
            "get": None,
            "unverified": [],
        }
        for name, dataset in datasets.items()
        if name not in DATASETS
    ]
    return catalog + custom


def _row(entry: DatasetEntry, dataset: FoundDataset | None) -> dict[str, Any]:
    images = sum(c.train + c.test + c.validation for c in entry.counts.values())
    sizes = [archive.bytes for archive in entry.archives]
    return {
        "name": entry.name,
        "title": entry.title,
        "task": entry.task,
        "categories": len(entry.categories),
        "images": images or None,
        "bytes": None if not sizes or None in sizes else sum(size or 0 for size in sizes),
        "license": entry.license,
        "here": "embedded" if entry.embedded else str(dataset.root) if dataset else None,
        "get": how_to_get(entry),
        "unverified": list(entry.unverified),
    }


def how_to_get(entry: DatasetEntry) -> str | None:
    """Return ``download``, ``package`` or ``by hand``; None for a dataset that needs no files."""
    if entry.embedded:
        return None
    if entry.package:
        return "package"
    reachable = entry.archives and all(archive.urls for archive in entry.archives)
    return "download" if reachable else "by hand"


def _table(rows: Sequence[Mapping[str, Any]], dirs: Sequence[Path]) -> str:
    from tabulate import tabulate

    notes: list[str] = []
    cells = []
    for row in rows:
        marks = "".join(f"[{_footnote(text, notes)}]" for text in row["unverified"])
        cells.append(
            [
                f"{row['name']} {marks}".rstrip(),
                row["title"],
                row["task"],
                row["categories"] or "–",
                f"{row['images']:,}" if row["images"] else "–",
                _download(row),
                row["license"] or "–",
                printable(row["here"]) if row["here"] else "missing",
            ]
        )
    headers = ["name", "title", "task", "categories", "images", "download", "license", "here"]
    sides = ["left", "left", "left", "right", "right", "right", "left", "left"]
    parts = [tabulate(cells, headers, disable_numparse=True, colalign=sides)]
    parts += [f"[{number}] not verified: {text}" for number, text in enumerate(notes, 1)]
    searched = ", ".join(map(_searched, dirs)) or "no folder (name one with --data-dir)"
    parts.append(f"searched: {searched}. Get one with python -m bench data get NAME.")
    return "\n".join(parts)


def _searched(folder: Path) -> str:
    trouble = trouble_with(folder)
    return f"{printable(folder)} ({trouble})" if trouble else printable(folder)


def _footnote(text: str, notes: list[str]) -> int:
    """Return the number of a footnote; datasets with the same text share one."""
    if text not in notes:
        notes.append(text)
    return notes.index(text) + 1


def _download(row: Mapping[str, Any]) -> str:
    if row["get"] is None:
        return "–"
    if row["get"] == "package":
        return "a package"
    size = megabytes(row["bytes"]) if row["bytes"] else "size unknown"
    return size if row["get"] == "download" else f"{size}, by hand"
