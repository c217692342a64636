"""Every way a threshold is chosen from scores, and whether the way looks at the test labels.

All rules decide by ``score > threshold``. A rule that looked at the labels it is judged on is there
to be compared with the literature; it never ranks.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.metrics.ranking import comparable, matched, rank_positives
from bench.metrics.thresholds import (
    best_f1_threshold,
    calibrated_threshold,
    just_below,
    percentiles,
)

CANDIDATES = 200
"""Candidates of ``f1_percentile`` and ``f1_uniform``: about half a percentile apart."""

_NO_CALIBRATION = "no calibration split"


@dataclass(frozen=True)
class Threshold:
    """One rule's threshold.

    Attributes:
        name: The rule.
        value: On raw scores, in their precision; ``nan`` where the rule has none.
        sees_test_labels: Whether the rule looks at the labels it will be judged on.
        about: The rule in a sentence.
        reason: Why the value is ``nan``; empty where it is a number.
    """

    name: str
    value: float
    sees_test_labels: bool
    about: str
    reason: str = ""


def every_threshold(
    scores: Tensor,
    labels: Tensor,
    calibration_scores: Tensor | None,
    candidates: int = CANDIDATES,
) -> tuple[Threshold, ...]:
    """The threshold of every rule, those that saw test labels first.

    Args:
        scores: ``(N,)`` raw scores of the test images.
        labels: ``(N,)`` booleans or integers; nonzero is defective.
        calibration_scores: ``(M,)`` scores of normal images neither fitted nor tested, or None.
        candidates: How many the two rules that try a fixed number of them try.

    Raises:
        ValueError: A score is NaN, shapes or dtypes do not fit, or there are under two candidates.
    """
    if candidates < 2:
        raise ValueError(f"wanted at least two candidate thresholds, found {candidates}")
    flat, truth = matched(scores, labels)
    normal = flat[~truth].sort().values
    return (
        *_by_labels(scores, labels, normal, candidates),
        _percentile_of_normals(normal),
        *_by_calibration(calibration_scores),
    )


def youden_j_threshold(scores: Tensor, labels: Tensor) -> float:
    """The threshold of the largest sensitivity + specificity − 1 over all distinct scores.

    J is compared in integers, as TP·N − FP·P. The best is at a positive's score (see
    `best_f1_threshold`) or flags nothing, J = 0; of equal J the highest threshold wins.

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
        return math.nan
    count, values = len(ranks.positives), comparable(scores)
    found = torch.arange(count, 0, -1, device=ranks.below.device)
    j = found * ranks.negatives - (ranks.negatives - ranks.below) * count
    j[ranks.positives == -math.inf] = -1  # never above any threshold
    best = count - 1 - int(j.flip(0).argmax())
    if j[best] < 0:
        return float(values.max())
    return just_below(ranks.positives[best], values)


def _by_labels(scores: Tensor, labels: Tensor, normal: Tensor, candidates: int) -> list[Threshold]:
    """The four rules that need both classes; ``normal`` is ``(N,)``, ascending."""
    ranks, ascending = rank_positives(scores, labels), comparable(scores).sort().values
    abouts = {
        "f1_percentile": f"highest F1 of {candidates} evenly spaced percentiles of the test scores",
        "f1_uniform": f"highest F1 of {candidates} evenly spaced values from the lowest to the "
        "highest finite test score",
        "best_f1": "highest F1 of all thresholds there are",
        "youden_j": "highest sensitivity + specificity − 1 of all thresholds there are",
    }
    if ranks.one_class:
        defects = len(ranks.positives)
        reason = f"one class only: {ranks.negatives} normal and {defects} defective images"
        return [Threshold(name, math.nan, True, about, reason) for name, about in abouts.items()]
    percents = torch.linspace(0, 100, candidates, dtype=torch.float64)
    values = (
        _best_f1_of(percentiles(ascending, percents), ranks.positives, normal),
        _best_f1_of(_uniform(ascending, candidates), ranks.positives, normal),
        best_f1_threshold(scores, labels),
        youden_j_threshold(scores, labels),
    )
    return [
        Threshold(name, value, True, about, "no finite score" if math.isnan(value) else "")
        for (name, about), value in zip(abouts.items(), values, strict=True)
    ]


def _best_f1_of(cuts: Tensor, positives: Tensor, normal: Tensor) -> float:
    """The cut of the highest F1, of equal ones the highest; both scores ``(·,)`` ascending."""
    if not len(cuts):
        return math.nan
    found = len(positives) - torch.searchsorted(positives, cuts, right=True)
    flagged = found + len(normal) - torch.searchsorted(normal, cuts, right=True)
    f1 = 2 * found.double() / (flagged + len(positives))
    return float(cuts[f1 == f1.max()].max())


def _uniform(ascending: Tensor, candidates: int) -> Tensor:
    finite = ascending[ascending.isfinite()].double()
    if not len(finite):
        return ascending[:0]
    share = torch.linspace(0, 1, candidates, dtype=torch.float64, device=ascending.device)
    # Weighted ends, for the range itself may overflow; the ends stay exact.
    return ((1 - share) * finite[0] + share * finite[-1]).to(ascending.dtype)


def _percentile_of_normals(normal: Tensor) -> Threshold:
    value = calibrated_threshold(normal, 95.0) if len(normal) else math.nan
    reason = "" if len(normal) else "no normal test image"
    about = "95th percentile of the normal test images' scores"
    return Threshold("normal_p95", value, True, about, reason)


def _by_calibration(scores: Tensor | None) -> list[Threshold]:
    """The honest ones: ``calibrated_p95`` and ``sigma_3``."""
    about = "95th percentile of the calibration split's scores"
    sigma_about = "mean + 3 standard deviations (n − 1) of the calibration split's scores"
    if scores is None or not scores.numel():
        return [
            Threshold("calibrated_p95", math.nan, False, about, _NO_CALIBRATION),
            Threshold("sigma_3", math.nan, False, sigma_about, _NO_CALIBRATION),
        ]
    percentile = calibrated_threshold(scores, 95.0)  # a NaN is an error here
    values = comparable(scores).double()
    reason, sigma = "", math.nan
    if len(values) < 2:
        reason = "one calibration score has no spread"
    elif not bool(values.isfinite().all()):
        reason = "a calibration score is infinite"
    else:
        exact = values.mean() + 3 * values.std()
        sigma = float(exact.to(comparable(scores).dtype))
    return [
        Threshold("calibrated_p95", percentile, False, about),
        Threshold("sigma_3", sigma, False, sigma_about, reason),
    ]
