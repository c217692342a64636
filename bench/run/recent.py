"""Values that hold for a moment."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

_FRESH_SECONDS = 2.0

_Name = TypeVar("_Name")
_Value = TypeVar("_Value")


class Recent(Generic[_Name, _Value]):
    """Values by name, each computed again when it is asked for after `_FRESH_SECONDS`.

    Hashing data again takes a stat for each file. That is little next to a run, before which it
    finds the files that were edited during the last one, but much for thousands of finished cases.
    """

    def __init__(self) -> None:
        self._computed: dict[_Name, tuple[float, _Value]] = {}

    def get(self, name: _Name, compute: Callable[[], _Value]) -> _Value:
        """Return the value of a name, computed now or a moment ago."""
        found = self._computed.get(name)
        if found is None or time.monotonic() - found[0] > _FRESH_SECONDS:
            value = compute()
            found = self._computed[name] = time.monotonic(), value
        return found[1]
