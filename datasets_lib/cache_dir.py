"""Where decoded images are kept; imports nothing heavy, since options are read at collection."""

import os
from pathlib import Path


def default_cache_dir() -> Path:
    """``$PROVING_GROUND_CACHE``, else ``proving_ground`` in the user's cache folder."""
    if chosen := os.environ.get("PROVING_GROUND_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "proving_ground"
