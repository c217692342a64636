"""Thresholds on raw scores and what they decide: ``score > threshold`` is defective."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.metrics.ranking import comparable, matched, rank_positives


@dataclass(frozen=True)
class Confusion:
    """Counts of decisions; a ratio without a denominator is ``nan``."""

    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int

    @property
    def defective(self) -> int:
        """How many are defective in truth."""
        return self.true_positives + self.false_negatives

    @property
    def flagged(self) -> int:
        """How many are called defective."""
        return self.true_positives + self.false_positives

    @property
    def accuracy(self) -> float:
        """Share of right decisions; ``nan`` of nothing."""
        normal = self.false_positives + self.true_negatives
        return _ratio(self.true_positives + self.true_negatives, self.defective + normal)

    @property
    def precision(self) -> float:
        """Share of the flagged that are defective; ``nan`` where nothing is either of them."""
        return _ratio(self.true_positives, self.defective and self.flagged)

    @property
    def recall(self) -> float:
        """Share of the defective that are flagged; ``nan`` where nothing is defective."""
        return _ratio(self.true_positives, self.defective)

    @property
    def specificity(self) -> float:
        """Share of the normal that pass; ``nan`` where nothing is normal."""
        return _ratio(self.true_negatives, self.true_negatives + self.false_positives)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); ``nan`` where nothing is defective, 0 where nothing is found."""
        return _ratio(2 * self.true_positives, self.defective and self.flagged + self.defective)

    def reasons(self) -> dict[str, str]:
        """Why a ratio is ``nan``, by its name."""
        if not self.defective + self.false_positives + self.true_negatives:
            return dict.fromkeys(("accuracy", "precision", "recall", "f1"), "nothing to judge")
        if not self.defective:
            return dict.fromkeys(("precision", "recall", "f1"), "nothing is defective in truth")
        return {} if self.flagged else {"precision": "no score is above the threshold"}


def confusion(scores: Tensor, labels: Tensor, threshold: float) -> Confusion:
    """Count the decisions of ``score > threshold``.

    Args:
        scores: Raw scores of any shape.
        labels: Booleans or integers of the same shape; nonzero is defective.
        threshold: On the scores' scale; it is rounded to their precision.

    Raises:
        ValueError: A score or the threshold is NaN, or shapes or dtypes do not fit.
    """
    scores, truth = matched(scores, labels)
    if math.isnan(threshold) or bool(scores.isnan().any()):
        raise ValueError("a score or the threshold is NaN: nothing can be decided")
    flagged = scores > torch.tensor(threshold, dtype=scores.dtype, device=scores.device)
    true_positives = int((flagged & truth).sum())
    false_positives = int(flagged.sum()) - true_positives
    positives = int(truth.sum())
    return Confusion(
        true_positives=true_positives,
        false_positives=false_positives,
        true_negatives=len(scores) - positives - false_positives,
        false_negatives=positives - true_positives,
    )


def calibrated_threshold(calibration_scores: Tensor, percentile: float = 95.0) -> float:
    """The percentile of normal scores that were neither fitted nor tested: the honest threshold.

    Linear interpolation between order statistics, as NumPy's default, rounded to the scores'
    precision so that comparing in either gives the same decisions.

    Raises:
        ValueError: There are no scores, one is NaN, or the percentile is outside [0, 100].
    """
    scores = comparable(calibration_scores)
    if not len(scores) or bool(scores.isnan().any()) or not 0 <= percentile <= 100:
        raise ValueError(
            f"wanted a percentile in [0, 100] of scores without NaN, found {percentile} of "
            f"{len(scores)} scores, {int(scores.isnan().sum())} of them NaN"
        )
    return float(
        percentiles(scores.sort().values, torch.tensor([percentile], dtype=torch.float64))[0]
    )


def percentiles(ascending: Tensor, percents: Tensor) -> Tensor:
    """Percentiles by linear interpolation between order statistics, as NumPy's default.

    Args:
        ascending: ``(N,)`` sorted scores, at least one, without NaN.
        percents: ``(K,)`` numbers in [0, 100].

    Returns:
        ``(K,)`` in the scores' precision. Between −inf and +inf there is only +inf.
    """
    positions = percents.to(ascending.device, torch.float64) / 100 * (len(ascending) - 1)
    first = positions.floor().long()
    lower, upper = ascending[first].double(), ascending[positions.ceil().long()].double()
    weight = positions - first
    # Not lower + weight × (upper − lower): that is NaN between two equal infinities.
    between = (1 - weight) * lower + weight * upper
    between = torch.where(between.isnan(), upper, between)
    return torch.where((weight == 0) | (lower == upper), lower, between).to(ascending.dtype)


def best_f1_threshold(scores: Tensor, labels: Tensor) -> float:
    """The threshold of the highest F1 over all distinct scores; it *sees the test labels*.

    The best is always at a positive's score v: lowering the threshold to the next positive only
    lets negatives in. Of equal F1 the highest v wins. The threshold lies midway between v and the
    next lower score, or on that score where no number of this precision lies between, so that
    ``score > threshold`` gives exactly the best F1. A score of −inf can never be flagged.

    Args:
        scores: Raw scores of any shape.
        labels: Booleans or integers of the same shape; nonzero is defective.

    Returns:
        The threshold; ``nan`` where a class is missing.

    Raises:
        ValueError: A score is NaN, or shapes or dtypes do not fit.
    """
    ranks = rank_positives(scores, labels)
    if ranks.one_class:
        return float("nan")
    count = len(ranks.positives)
    # Flagging from the i-th positive up. Of tied positives only the first counts right; the
    # others are too low by as much, so the maximum ignores them.
    found = torch.arange(count, 0, -1, device=ranks.below.device)
    flagged = found + ranks.negatives - ranks.below
    f1 = 2 * found.double() / (flagged + count)
    f1[ranks.positives == -math.inf] = -1.0
    best = count - 1 - int(f1.flip(0).argmax())
    return just_below(ranks.positives[best], comparable(scores))


def just_below(value: Tensor, scores: Tensor) -> float:
    """A number t with t < value and no score in (t, value)."""
    lower = float(torch.where(scores < value, scores, -math.inf).max())
    if lower == -math.inf:
        return float(torch.nextafter(value, torch.full_like(value, -math.inf)))
    middle = float(torch.tensor(lower / 2 + float(value) / 2, dtype=scores.dtype))
    return middle if lower <= middle < float(value) else lower


def _ratio(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else float("nan")
