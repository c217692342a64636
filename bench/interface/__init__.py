"""Training from Python: one call trains, evaluates, records and writes the files of a run."""

from bench.interface.defaults import Globals, get_globals, set_globals
from bench.interface.errors import TrainingError
from bench.interface.training import clear_memory, train, train_models

__all__ = [
    "Globals",
    "TrainingError",
    "clear_memory",
    "get_globals",
    "set_globals",
    "train",
    "train_models",
]
