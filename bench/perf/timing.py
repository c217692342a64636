"""Steps measured in alternating rounds, which spread the noise from other load over all of them."""

import time
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)
Result = TypeVar("Result")


def alternate(steps: Mapping[Name, Callable[[], Result]], rounds: int) -> dict[Name, list[Result]]:
    """Return the results of each step by name; a round calls every step once.

    >>> alternate({"one": iter("ab").__next__, "other": iter("cd").__next__}, 2)
    {'one': ['a', 'b'], 'other': ['c', 'd']}
    """
    results: dict[Name, list[Result]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            results[name].append(step())
    return results


def seconds_in_turns(
    steps: Mapping[Name, Callable[[], object]], rounds: int, warm_up: int = 0
) -> dict[Name, list[float]]:
    """Return the seconds of each step by name, measured in alternating rounds.

    Args:
        steps: The steps by name.
        rounds: Number of measured rounds.
        warm_up: Number of rounds before them that are not measured.
    """
    timed = {name: partial(_seconds, step) for name, step in steps.items()}
    alternate(timed, warm_up)
    return alternate(timed, rounds)


def _seconds(step: Callable[[], object]) -> float:
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin
