"""Extensions from outside the tree: installed entry points, and single files given by name.

An entry point of one of the groups below names an entry, or a list of entries, of that kind. A file
given with ``--plugin`` is a module that registers whatever it likes when it is imported.
"""

import hashlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Sized
from dataclasses import fields
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from bench.metrics.catalog import METRICS, Metric, register_metric
from bench.near_names import did_you_mean
from bench.studies import STUDIES, register_study
from bench.study import Study
from datasets_lib.augment.catalog import AUGMENTATIONS, AugmentationEntry, register_augmentation
from datasets_lib.catalog import CUSTOM_LAYOUTS, DATASETS, register_dataset
from datasets_lib.entry import DatasetEntry
from models.catalog import (
    MODELS,
    WEIGHTS,
    ClassifierRecipe,
    ModelEntry,
    Recipe,
    WeightsEntry,
    register_model,
    register_weights,
)

GROUPS: dict[str, Callable[[Any], object]] = {
    "proving_ground.weights": register_weights,
    "proving_ground.models": register_model,
    "proving_ground.datasets": register_dataset,
    "proving_ground.augmentations": register_augmentation,
    "proving_ground.metrics": register_metric,
    "proving_ground.studies": register_study,
}


_ENTRIES = {
    entry.__name__: entry
    for entry in (
        *(ModelEntry, Recipe, ClassifierRecipe, WeightsEntry, DatasetEntry, AugmentationEntry),
        *(Metric, Study),
    )
}
"""Classes that extensions construct with keyword arguments."""


_REGISTRIES: list[Sized] = [
    *(MODELS, WEIGHTS, DATASETS, CUSTOM_LAYOUTS, AUGMENTATIONS, METRICS, STUDIES)
]
_silent: list[Path] = []


class ExtensionError(Exception):
    """An entry point or a plugin file cannot be loaded; the message says which and why."""


def load_extensions(files: Iterable[Path] = ()) -> None:
    """Register everything from installed entry points and from the given files, once per process.

    Raises:
        ExtensionError: One of them cannot be imported or registered.
    """
    _load_entry_points()
    for file in files:
        _load_file(file)


@cache
def _load_entry_points() -> None:
    points = entry_points()
    for group, register in GROUPS.items():
        for point in points.select(group=group):
            try:
                entries = point.load()
                for entry in entries if isinstance(entries, list | tuple) else [entries]:
                    register(entry)
            except Exception as error:
                raise ExtensionError(
                    f"The entry point {point.name} of {group} ({point.value}) could not be loaded: "
                    f"{_explained(error)}. Fix or uninstall the package that has it."
                ) from error


def silent_files(files: Iterable[Path]) -> list[str]:
    """Return a line for each loaded file that registered nothing."""
    return [
        f"--plugin {file} registered nothing: wanted a call such as register_model(ModelEntry(...))"
        for file in files
        if file in _silent
    ]


@cache
def _load_file(file: Path) -> None:
    if not os.path.isfile(file):  # noqa: PTH113 - False, not an error, in an unreadable folder
        found = "a folder" if os.path.isdir(file) else "none"  # noqa: PTH112
        raise ExtensionError(f"--plugin {file}: wanted a Python file, found {found} at this path.")
    loaded = getattr(sys.modules.get(file.stem), "__file__", None)
    if loaded and Path(loaded).resolve() == file.resolve():
        return  # it registered what it has when it was imported
    name = _module_name(file)
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ExtensionError(f"--plugin {file}: wanted a Python file, whose name ends in .py.")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    before = sum(map(len, _REGISTRIES))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ExtensionError(f"--plugin {file}{_line(error, file)}: {_explained(error)}") from error
    if sum(map(len, _REGISTRIES)) == before:
        _silent.append(file)


def _module_name(file: Path) -> str:
    """Return the stem of a plugin file, by which paths such as ``my_model:build`` import it.

    Where another module has this name, a hash follows.
    """
    name = file.stem
    if name not in sys.modules:
        found = importlib.util.find_spec(name)
        if found is None or Path(found.origin or "").resolve() == file.resolve():
            return name
    return f"{name}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"


def _line(error: Exception, file: Path) -> str:
    """Return the last line of a file that an error passed through, as ``, line 7``."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return f", line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(file)]
    return f", line {lines[-1]}" if lines else ""


def _explained(error: Exception) -> str:
    """Return an error in one paragraph; for wrong fields of an entry, with the fields it has."""
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg}"
    text = " ".join(str(error).split())
    match = re.match(r"(\w+)\.__init__\(\) (.*)", text) if isinstance(error, TypeError) else None
    entry = _ENTRIES.get(match[1]) if match else None
    if match is None or entry is None:
        return f"{type(error).__name__}: {text}"
    names = [field.name for field in fields(entry)]
    wrong = re.search(r"unexpected keyword argument '(\w+)'", match[2])
    meant = did_you_mean(wrong[1], names, "; did you mean") if wrong else ""
    return f"{match[1]}: {match[2]}" + (meant or f"; its fields are {', '.join(names)}")
