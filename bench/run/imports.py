"""What a catalog names by its import path."""

import importlib
from typing import Any


def imported(path: str) -> Any:
    """The thing a path ``module:name`` names."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
