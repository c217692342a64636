"""Resolve what a catalog names, such as a reader, when it is first needed."""

from collections.abc import Callable
from pkgutil import resolve_name
from typing import Any


def resolve_callable(target: str | Callable[..., Any]) -> Callable[..., Any]:
    """Return the callable behind an import path ``module:name``; return a callable unchanged.

    Example:
        >>> resolve_callable("math:sqrt")(9.0)
        3.0
        >>> resolve_callable(len)("abc")
        3
    """
    return target if callable(target) else resolve_name(target)
