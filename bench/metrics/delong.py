"""How sure an AUROC is, and whether two models' AUROCs on the same images differ.

DeLong, DeLong & Clarke-Pearson 1988: an AUROC is a mean of placements, the share of normal images
that one defective image outranks (ties half), and the other way round; its variance is theirs. The
placements come from two sorts (as the midranks of Sun & Xu 2014), never from all pairs.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor

from bench.metrics.inputs import matched, one_class_reason
from bench.metrics.ranking import auroc

_ONE_IMAGE = "one {which} image: the spread between such images is unknown"


@dataclass(frozen=True)
class AurocInterval:
    """An AUROC with its confidence interval.

    Attributes:
        auroc: ``nan`` where a class is missing.
        variance: DeLong's; ``nan`` where a class has fewer than two images.
        low: Lower end; ``nan`` where there is no interval.
        high: Upper end; ``nan`` where there is no interval.
        reason: Why there is no interval, or which other one it is; else empty.
    """

    auroc: float
    variance: float
    low: float
    high: float
    reason: str = ""


@dataclass(frozen=True)
class AurocTest:
    """Two models' AUROCs on the same images.

    Attributes:
        difference: Second minus first; ``nan`` where a class is missing.
        low: Lower end of its plain normal interval, estimate ± z × standard error.
        high: Upper end.
        p: Two-sided, of no difference; ``nan`` where it cannot be tested.
        reason: Why there is no interval or p, or that the models rank alike; else empty.
    """

    difference: float
    low: float
    high: float
    p: float
    reason: str = ""


def auroc_interval(scores: Tensor, labels: Tensor, confidence: float = 0.95) -> AurocInterval:
    """DeLong's interval of one AUROC, normal on the logit scale so that it stays inside (0, 1).

    Perfect separation has no spread, and DeLong's interval would be a point. There the interval is
    exact and conservative instead: of m = min(defective, normal) disjoint pairs of images all were
    won, which has a chance of at most AUROCᵐ, so the lower end is (α/2)^(1/m).

    Args:
        scores: ``(N,)`` raw scores; higher is more anomalous.
        labels: ``(N,)`` booleans or integers; nonzero is defective.
        confidence: Nominal coverage.

    Raises:
        ValueError: A score is NaN, or shapes or dtypes do not fit.
    """
    value = auroc(scores, labels)
    of_positives, of_negatives = _half_wins(scores, labels)
    reason = _no_interval(of_positives, of_negatives)
    if math.isnan(value):
        return AurocInterval(value, math.nan, math.nan, math.nan, reason)
    variance = _variance(of_positives, of_negatives)
    if value in {0.0, 1.0}:
        pairs = min(len(of_positives), len(of_negatives))
        edge = ((1 - confidence) / 2) ** (1 / pairs)
        low, high = (edge, 1.0) if value else (0.0, 1 - edge)
        reason = f"perfect separation: exact interval of {pairs} disjoint pairs of images"
        return AurocInterval(value, variance, low, high, reason)
    if reason or _constant(of_positives, of_negatives):
        reason = reason or "every image wins the same share: the ranking has no spread"
        return AurocInterval(value, variance, math.nan, math.nan, reason)
    center = math.log(value / (1 - value))
    reach = _quantile(confidence) * math.sqrt(variance) / (value * (1 - value))
    return AurocInterval(value, variance, _expit(center - reach), _expit(center + reach))


def auroc_test(
    first: Tensor, second: Tensor, labels: Tensor, confidence: float = 0.95
) -> AurocTest:
    """DeLong's paired test: do two models rank the same images equally well?

    Args:
        first: ``(N,)`` raw scores of one model.
        second: ``(N,)`` raw scores of the other, of the same images in the same order; the two
            scales need not agree.
        labels: ``(N,)`` booleans or integers; nonzero is defective.
        confidence: Nominal coverage of the difference's interval.

    Raises:
        ValueError: A score is NaN, or shapes or dtypes do not fit.
    """
    difference = auroc(second, labels) - auroc(first, labels)
    wins = [_half_wins(scores, labels) for scores in (first, second)]
    of_positives, of_negatives = (b - a.to(b.device) for a, b in zip(*wins, strict=True))
    if reason := _no_interval(of_positives, of_negatives):
        return AurocTest(difference, math.nan, math.nan, math.nan, reason)
    if _constant(of_positives, of_negatives):
        if difference == 0:
            same = "both models rank every image alike"
            return AurocTest(difference, 0.0, 0.0, 1.0, same)
        reason = "every image's rank moves by the same share: the difference has no spread"
        return AurocTest(difference, math.nan, math.nan, math.nan, reason)
    error = math.sqrt(_variance(of_positives, of_negatives))
    reach = _quantile(confidence) * error
    p = math.erfc(abs(difference) / error / math.sqrt(2))
    return AurocTest(difference, difference - reach, difference + reach, p)


def _half_wins(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Twice the opponents that lie below each image, ties once: of defective and of normal images.

    Both int64, in the order of the images, so that two models' can be subtracted. A normal image
    wins by few opponents below it, not by many, but that changes no variance.
    """
    values, truth = matched(scores, labels)
    positives, negatives = values[truth], values[~truth]
    return _below(positives, negatives), _below(negatives, positives)


def _below(values: Tensor, others: Tensor) -> Tensor:
    ascending = others.sort().values
    strictly = torch.searchsorted(ascending, values)
    return strictly + torch.searchsorted(ascending, values, right=True)


def _variance(of_positives: Tensor, of_negatives: Tensor) -> float:
    """Variance of the mean placement, (n − 1) within each class; ``nan`` of one image in a class.

    Given the differences between two models' half-wins, the variance of their difference.
    """
    positives, negatives = len(of_positives), len(of_negatives)
    if min(positives, negatives) < 2:
        return math.nan
    spread = of_positives.double().var() / negatives**2 / positives
    return float(spread + of_negatives.double().var() / positives**2 / negatives) / 4


def _no_interval(of_positives: Tensor, of_negatives: Tensor) -> str:
    defective, normal = len(of_positives), len(of_negatives)
    if reason := one_class_reason(normal, defective):
        return reason
    if min(defective, normal) == 1:
        return _ONE_IMAGE.format(which="defective" if defective == 1 else "normal")
    return ""


def _constant(*groups: Tensor) -> bool:
    return all(bool((values == values[0]).all()) for values in groups)


def _quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _expit(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit > 0 else math.exp(logit) / (1 + math.exp(logit))
