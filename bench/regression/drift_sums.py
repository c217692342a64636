"""Sums of the drift net after a night by configuration, and which of them are too large."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from bench.regression.compare import Screen
from bench.regression.drift import LIMIT, cusum, drift_score
from bench.regression.measures import SPEED


def drift_after(screens: Sequence[Screen]) -> dict[str, dict[str, float]]:
    """Return the drift net's sums after tonight, by configuration and quantity.

    Qualities that repeat earlier ones of the same seeds, and speeds that are not tested, leave
    their sum as it is: they are no evidence.
    """
    sums: dict[str, dict[str, float]] = {}
    for one in screens:
        scores = drift_score([finding.p for finding in one.findings])
        before = np.array([pair.window[-1].drift.get(one.quantity, 0.0) for pair in one.pairs])
        silent = [
            finding.outcome in {"env-shift", "invalid"} or (one.measure != SPEED and pair.equal)
            for finding, pair in zip(one.findings, one.pairs, strict=True)
        ]
        after = np.where(silent, before, cusum(scores[:, None], before)[:, 0])
        for pair, total in zip(one.pairs, after, strict=True):
            sums.setdefault(pair.series.configuration, {})[one.quantity] = round(float(total), 3)
    return sums


def drifting(
    sums: Mapping[str, Mapping[str, float]], categories: Mapping[str, str] = MappingProxyType({})
) -> list[str]:
    """Return a line for each quantity whose slow decline has reached the limit.

    Args:
        sums: Sums of the drift net by configuration and quantity.
        categories: One of the categories of each dataset mean, which has no history of its own.
    """
    lines = []
    for name, of_case in sums.items():
        shows = (
            f"{categories[name]} shows a part of it" if name in categories else f"{name} shows it"
        )
        lines += [
            f"{name}: {quantity} has slowly become worse over many nightly runs (CUSUM "
            f"{total:.1f}); python -m bench history {shows}"
            for quantity, total in of_case.items()
            if total >= LIMIT
        ]
    return lines
