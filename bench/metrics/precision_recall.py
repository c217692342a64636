"""Average precision and the best F1, of scores already ranked."""

import math

import torch
from torch import Tensor

from bench.metrics.ranking import Ranks


def average_precision(ranks: Ranks) -> float:
    """Mean over positives of the precision at each one's score: the step definition.

    Sum over thresholds of (R_n − R_{n−1}) P_n, equal scores being one threshold, as scikit-learn
    defines it: no interpolation. ``nan`` where a class is missing.
    """
    if ranks.one_class:
        return float("nan")
    found, flagged = _at_positives(ranks)
    return float(found.div_(flagged).mean())


def f1_max(ranks: Ranks) -> tuple[float, float]:
    """The highest F1 of any threshold and that threshold; it *sees the test labels*.

    The best is always at a positive's score v: lowering the threshold to the next positive only
    lets negatives in. Of equal F1 the highest v wins. The threshold is the number next below v in
    the scores' precision, so that ``score > threshold`` gives exactly this F1. A score of −inf
    can never be flagged.

    Returns:
        F1 and threshold; ``nan`` and ``nan`` where a class is missing or all positives are −inf.
    """
    if ranks.one_class or bool(ranks.positives[-1] == -math.inf):
        return float("nan"), float("nan")
    count = len(ranks.positives)
    found, flagged = _at_positives(ranks)
    f1 = found.mul_(2).div_(flagged.add_(count))
    f1[ranks.positives == -math.inf] = -1.0
    best = int((f1 == f1.max()).nonzero()[-1])
    value = ranks.positives[best]
    return float(f1[best]), float(torch.nextafter(value, torch.full_like(value, -math.inf)))


def _at_positives(ranks: Ranks) -> tuple[Tensor, Tensor]:
    """``(P,)`` float64 positives, and all scores, of at least the score of each.

    In place and without mixed types, for there may be as many positives as pixels.
    """
    found = ranks.found.double()
    flagged = ranks.below.double().neg_().add_(ranks.negatives).add_(found)
    return found, flagged
