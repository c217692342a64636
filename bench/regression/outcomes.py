"""The outcome of a case's night in one word, and the exit code that follows."""

from collections.abc import Iterable
from typing import Literal

Outcome = Literal[
    "ok",
    "changed",
    "suspect",
    "regressed",
    "improved",
    "underpowered",
    "env-shift",
    "invalid",
]

REGRESSION_EXIT = 10
"""Exit code after a confirmed regression; 0 to 5 are pytest's own."""

INFRASTRUCTURE_EXIT = 11
"""Exit code if only the infrastructure failed: nothing can be concluded, and nothing regressed."""

_ORDER: tuple[Outcome, ...] = (
    "regressed",
    "invalid",
    "suspect",
    "env-shift",
    "underpowered",
    "improved",
    "changed",
    "ok",
)


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the outcome of a case with several metrics: the one that needs most attention.

    An improvement comes before a change, as later runs must keep it.
    """
    return min(outcomes, key=_ORDER.index, default="ok")


def exit_code(outcomes: Iterable[Outcome]) -> int:
    """Return 10 after a regression, else 11 if some runs were invalid, else 0.

    >>> exit_code(["ok", "invalid", "regressed"]), exit_code(["ok", "invalid"]), exit_code(["ok"])
    (10, 11, 0)
    """
    distinct = set(outcomes)
    if "regressed" in distinct:
        return REGRESSION_EXIT
    return INFRASTRUCTURE_EXIT if "invalid" in distinct else 0
