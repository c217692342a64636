"""The harness: how cases are described, run, measured, stored and reported.

Train models from Python, with the files and records of a benchmark session::

    from bench import set_globals, train

    set_globals(dataset_dir="data", backbone_dir="weights", output_dir="outputs")
    record = train("mvtec", "bottle", "stfpm", num_epochs=50)

PYTEST_DONT_REWRITE: without it, pytest rewrites the assertions of an installed plugin's packages.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.interface import (
        Globals,
        TrainingError,
        clear_memory,
        get_globals,
        set_globals,
        train,
        train_models,
    )

__all__ = [
    "Globals",
    "TrainingError",
    "clear_memory",
    "get_globals",
    "set_globals",
    "train",
    "train_models",
]


def __getattr__(name: str) -> Any:
    """Return a part of the Python interface, imported when it is asked for."""
    if name in __all__:
        return getattr(import_module("bench.interface"), name)
    raise AttributeError(f"module 'bench' has no attribute '{name}'")
