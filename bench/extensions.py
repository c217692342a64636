"""What joins from outside the tree: installed entry points, and single files given by name.

An entry point of one of the groups below names an entry, or a list of entries, of that kind. A file
given with ``--plugin`` is a module that registers whatever it likes when it is imported.
"""

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterable
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from bench.metrics.catalog import register_metric
from bench.studies import register_study
from datasets_lib.augment.catalog import register_augmentation
from datasets_lib.catalog import register_dataset
from models.catalog import register_model, register_weights

GROUPS: dict[str, Callable[[Any], object]] = {
    "proving_ground.weights": register_weights,
    "proving_ground.models": register_model,
    "proving_ground.datasets": register_dataset,
    "proving_ground.augmentations": register_augmentation,
    "proving_ground.metrics": register_metric,
    "proving_ground.studies": register_study,
}


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
                    f"{type(error).__name__}: {error}. Mend or uninstall the package that has it."
                ) from error


@cache
def _load_file(file: Path) -> None:
    if not file.is_file():
        raise ExtensionError(f"--plugin {file}: wanted a Python file, found none at this path.")
    # Its stem is the module's name, so that import paths such as "my_model:build" find it.
    name = file.stem
    if name in sys.modules or importlib.util.find_spec(name) is not None:
        name = f"{name}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ExtensionError(f"--plugin {file}: wanted a Python file, whose name ends in .py.")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ExtensionError(f"--plugin {file}: {type(error).__name__}: {error}") from error
