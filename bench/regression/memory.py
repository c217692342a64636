"""Find memory regressions: as memory barely varies, two re-runs above a small limit alarm."""

from collections.abc import Sequence

RELATIVE = 0.01
BYTES = 8 * 2**20
RERUNS = 2


def memory_limit(base: float) -> float:
    """Return the tolerated increase over a baseline in bytes: 1 %, but at least 8 MiB."""
    return max(RELATIVE * base, BYTES)


def memory_suspect(base: float, tonight: float) -> bool:
    """Return whether tonight's peak memory requires re-runs; both in bytes."""
    return tonight - base > memory_limit(base)


def memory_regressed(base: float, reruns: Sequence[float]) -> bool:
    """Return whether there are at least two re-runs and all are above the limit; in bytes.

    >>> memory_regressed(1e9, [1.02e9, 1.03e9]), memory_regressed(1e9, [1.02e9, 1e9])
    (True, False)
    """
    return len(reruns) >= RERUNS and all(memory_suspect(base, peak) for peak in reruns)
