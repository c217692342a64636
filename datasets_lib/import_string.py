"""What a catalog names by its import path, such as a reader; imported when it is first needed."""

import importlib
from typing import Any


def import_string(path: str) -> Any:
    """The thing a path ``module:name`` names."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
