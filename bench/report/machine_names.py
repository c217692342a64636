"""Short names for classes of environments in tables and pictures."""

from collections.abc import Iterable


def short_names(environments: Iterable[str]) -> dict[str, str]:
    """Return the first part of each class of environment, numbered if several share it.

    >>> short_names(["NVIDIA H200 | CUDA 13.0", "AMD EPYC | torch 2.14", "AMD EPYC | torch 2.11"])
    ... # doctest: +NORMALIZE_WHITESPACE
    {'NVIDIA H200 | CUDA 13.0': 'NVIDIA H200', 'AMD EPYC | torch 2.14': 'AMD EPYC',
     'AMD EPYC | torch 2.11': 'AMD EPYC #2'}
    """
    names: dict[str, str] = {}
    counts: dict[str, int] = {}
    for environment in dict.fromkeys(environments):
        first = environment.partition(" | ")[0]
        counts[first] = counts.get(first, 0) + 1
        names[environment] = first if counts[first] == 1 else f"{first} #{counts[first]}"
    return names
