"""Drift net: find slow declines that no single night shows, by a one-sided CUSUM of each case."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from bench.regression.measures import Array

ALLOWANCE = 0.5
"""Tolerated standard deviations per night (Page 1954)."""

LIMIT = 8.0
"""Sum at which drift is reported, as a suspect but never as an alarm."""

_MAX_SCORE = 3.0
"""Largest score of a night in either direction, so that one outlier cannot trigger a report."""


def drift_score(p: ArrayLike) -> Array:
    """Return a night's normal scores from the screen's p values; 0 where there is none.

    Args:
        p: One-sided p values of no drop, any shape.
    """
    scores = -ndtri(np.asarray(p, dtype=float))
    return np.where(np.isnan(scores), 0.0, np.clip(scores, -_MAX_SCORE, _MAX_SCORE))


def cusum(scores: ArrayLike, start: ArrayLike = 0.0) -> Array:
    """Return S after each night: S = max(0, S + z − `ALLOWANCE`), reported at `LIMIT`.

    Args:
        scores: ``(N, T)`` scores of T nights, positive for a drop.
        start: ``(N,)`` sums so far.

    Example:
        >>> cusum([[1.0, -2.0, 3.0, 3.0]]).tolist()
        [[0.5, 0.0, 2.5, 5.0]]
    """
    z = np.asarray(scores, dtype=float)
    total = np.broadcast_to(np.asarray(start, dtype=float), z.shape[:1]).copy()
    sums = np.empty_like(z)
    for night in range(z.shape[1]):
        total = np.maximum(0.0, total + z[:, night] - ALLOWANCE)
        sums[:, night] = total
    return sums
