"""How certain an AUROC is, and whether two models' AUROCs on the same images differ.

DeLong, DeLong & Clarke-Pearson 1988: an AUROC is a mean of placements, the share of normal images
that one defective image outranks (ties half), and the other way round; its variance is theirs. The
placements come from two sorts (as the midranks of Sun & Xu 2014), never from all pairs.
"""

import math
from statistics import NormalDist

import torch
from torch import Tensor

from bench.metrics.bootstrap import CONFIDENCE, Interval
from bench.metrics.inputs import matched, one_class_reason
from bench.metrics.ranking import auroc

_QUANTILE = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


def auroc_interval(scores: Tensor, labels: Tensor) -> Interval:
    """Return DeLong's 95 % interval of an AUROC, normal on the logit scale to stay in (0, 1).

    Perfect separation has no spread, and DeLong's interval would be a point. The interval returned
    there is exact and conservative: m = min(defective, normal) disjoint pairs of images were all
    won, which has a chance of at most AUROC^m, so the lower end is (α/2)^(1/m).

    Args:
        scores: ``(N,)`` raw scores; higher is more anomalous.
        labels: ``(N,)`` booleans or integers; nonzero is defective.

    Raises:
        ValueError: A score is NaN, or shapes or dtypes do not fit.

    Example:
        >>> scores, labels = torch.tensor([1.0, 3, 2, 4]), torch.tensor([0, 0, 1, 1])
        >>> interval = auroc_interval(scores, labels)
        >>> interval.value, round(interval.low, 3), round(interval.high, 3)
        (0.75, 0.069, 0.992)
    """
    value = auroc(scores, labels)
    of_positives, of_negatives = _half_wins(scores, labels)
    reason = _no_interval(of_positives, of_negatives)
    if value in {0.0, 1.0}:
        pairs = min(len(of_positives), len(of_negatives))
        edge = ((1 - CONFIDENCE) / 2) ** (1 / pairs)
        low, high = (edge, 1.0) if value else (0.0, 1 - edge)
        reason = f"perfect separation: exact interval of {pairs} disjoint pairs of images"
        return Interval(value, low, high, reason)
    if not reason and _constant(of_positives, of_negatives):
        reason = "every image wins the same share: the ranking has no spread"
    if reason:
        return Interval(value, math.nan, math.nan, reason)
    return logit_interval(value, math.sqrt(_variance(of_positives, of_negatives)))


def logit_interval(value: float, error: float) -> Interval:
    """Return a 95 % interval that is normal on the logit scale, so that it stays in (0, 1).

    Args:
        value: A share above 0 and below 1.
        error: Its standard error.
    """
    center = math.log(value / (1 - value))
    reach = _QUANTILE * error / (value * (1 - value))
    return Interval(value, _expit(center - reach), _expit(center + reach))


def auroc_test(first: Tensor, second: Tensor, labels: Tensor) -> tuple[Interval, float]:
    """Test with DeLong's paired test whether two models rank the same images equally well.

    Args:
        first: ``(N,)`` raw scores of one model.
        second: ``(N,)`` raw scores of the other model on the same images in the same order; the
            two scales need not agree.
        labels: ``(N,)`` booleans or integers; nonzero is defective.

    Returns:
        The difference, second minus first, with its normal 95 % interval, and the two-sided p of no
        difference. What cannot be computed is ``nan``, and the interval says why.

    Raises:
        ValueError: A score is NaN, or shapes or dtypes do not fit.

    Example:
        >>> first, second = torch.tensor([1.0, 3, 2, 4]), torch.tensor([2.0, 1, 3, 4])
        >>> difference, p = auroc_test(first, second, torch.tensor([0, 0, 1, 1]))
        >>> difference.value, round(p, 3)
        (0.25, 0.48)
    """
    difference = auroc(second, labels) - auroc(first, labels)
    wins = [_half_wins(scores, labels) for scores in (first, second)]
    of_positives, of_negatives = (b - a.to(b.device) for a, b in zip(*wins, strict=True))
    reason = _no_interval(of_positives, of_negatives)
    if not reason and _constant(of_positives, of_negatives):
        if difference == 0:
            return Interval(difference, 0.0, 0.0, "both models rank every image alike"), 1.0
        reason = "every image's rank moves by the same share: the difference has no spread"
    if reason:
        return Interval(difference, math.nan, math.nan, reason), math.nan
    error = math.sqrt(_variance(of_positives, of_negatives))
    reach = _QUANTILE * error
    p = math.erfc(abs(difference) / error / math.sqrt(2))
    return Interval(difference, difference - reach, difference + reach), p


def _half_wins(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return twice the opponents below each image, ties once, of defective and of normal images."""
    # Both int64 and in the order of the images, so that two models' can be subtracted. A normal
    # image wins by having few opponents below it, but the sign changes no variance.
    values, truth = matched(scores, labels)
    positives, negatives = values[truth], values[~truth]
    return _below(positives, negatives), _below(negatives, positives)


def _below(values: Tensor, others: Tensor) -> Tensor:
    ascending = others.sort().values
    strictly = torch.searchsorted(ascending, values)
    return strictly + torch.searchsorted(ascending, values, right=True)


def _variance(of_positives: Tensor, of_negatives: Tensor) -> float:
    """Return the variance of the mean placement from half-wins or from differences of them."""
    positives, negatives = len(of_positives), len(of_negatives)
    # A placement is a half-win over twice the opponents: hence their squares, and the quarter.
    spread = of_positives.double().var() / negatives**2 / positives
    return float(spread + of_negatives.double().var() / positives**2 / negatives) / 4


def _no_interval(of_positives: Tensor, of_negatives: Tensor) -> str:
    """Return why a class is too small for an interval; empty where both suffice."""
    defective, normal = len(of_positives), len(of_negatives)
    if not min(defective, normal) or min(defective, normal) > 1:
        return one_class_reason(normal, defective)
    which = "defective" if defective == 1 else "normal"
    return f"one {which} image: the spread between such images is unknown"


def _constant(*groups: Tensor) -> bool:
    return all(bool((values == values[0]).all()) for values in groups)


def _expit(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit > 0 else math.exp(logit) / (1 + math.exp(logit))
