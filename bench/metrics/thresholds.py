"""Thresholds on raw scores, every rule that chooses one, and what ``score > threshold`` decides.

A rule that looks at the labels it is evaluated on is there to be compared with the literature; it
never ranks.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.metrics.inputs import comparable, matched, one_class_reason
from bench.metrics.ranking import Ranks, rank_positives

COVERAGE = 0.95
"""Share of normal images that a calibrated threshold lets pass."""

CANDIDATES = 200
"""Candidates of ``f1_percentile`` and ``f1_uniform``: about half a percentile apart."""

_NO_CALIBRATION = "no calibration split"


@dataclass(frozen=True)
class Threshold:
    """A rule's threshold.

    Attributes:
        name: Name of the rule.
        value: On raw scores, in their precision; ``nan`` where the rule has none.
        sees_test_labels: Whether the rule looks at the labels it is evaluated on.
        about: The rule in a sentence.
        reason: Why the value is ``nan``; empty where it is a number.
    """

    name: str
    value: float
    sees_test_labels: bool
    about: str
    reason: str = ""


@dataclass(frozen=True)
class Confusion:
    """Counts of decisions; a ratio without a denominator is ``nan``.

    Example:
        >>> counts = Confusion(8, 2, 6, 4)
        >>> counts.accuracy, counts.precision, round(counts.recall, 3), round(counts.f1, 3)
        (0.7, 0.8, 0.667, 0.727)
    """

    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int

    @property
    def defective(self) -> int:
        """Number that are actually defective."""
        return self.true_positives + self.false_negatives

    @property
    def flagged(self) -> int:
        """Number that are called defective."""
        return self.true_positives + self.false_positives

    @property
    def accuracy(self) -> float:
        """Share of right decisions; ``nan`` without any."""
        normal = self.false_positives + self.true_negatives
        return _ratio(self.true_positives + self.true_negatives, self.defective + normal)

    @property
    def precision(self) -> float:
        """Share of the flagged that are defective; ``nan`` where nothing is either of them."""
        return _ratio(self.true_positives, self.defective and self.flagged)

    @property
    def false_alarms(self) -> float:
        """Share of the normal that are flagged; ``nan`` where nothing is normal."""
        return _ratio(self.false_positives, self.false_positives + self.true_negatives)

    @property
    def recall(self) -> float:
        """Share of the defective that are flagged; ``nan`` where nothing is defective."""
        return _ratio(self.true_positives, self.defective)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); ``nan`` where nothing is defective, 0 without a hit."""
        return _ratio(2 * self.true_positives, self.defective and self.flagged + self.defective)

    def reasons(self) -> dict[str, str]:
        """Return why a ratio is ``nan``, by its name."""
        reasons: dict[str, str] = {}
        if not self.defective:
            reasons |= dict.fromkeys(("precision", "recall", "f1"), "nothing is defective in truth")
        elif not self.flagged:
            reasons["precision"] = "no score is above the threshold"
        if not self.false_positives + self.true_negatives:
            reasons["false_alarms"] = "nothing is normal in truth"
            if not self.defective:
                reasons |= dict.fromkeys((*reasons, "accuracy"), "nothing to judge")
        return reasons


def confusion(scores: Tensor, labels: Tensor, threshold: float) -> Confusion:
    """Count the decisions of ``score > threshold``.

    Args:
        scores: Raw scores of any shape.
        labels: Booleans or integers of the same shape; nonzero is defective.
        threshold: On the scores' scale; it is rounded to their precision.

    Raises:
        ValueError: A score or the threshold is NaN, or shapes or dtypes do not fit.

    Example:
        >>> import torch
        >>> confusion(torch.tensor([1.0, 2, 3]), torch.tensor([0, 0, 1]), 1.5).f1
        0.6666666666666666
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


def every_threshold(
    scores: Tensor,
    labels: Tensor,
    calibration_scores: Tensor | None,
    ranks: Ranks | None = None,
    candidates: int = CANDIDATES,
) -> tuple[Threshold, ...]:
    """Return the threshold of every rule, those that see the test labels first.

    Args:
        scores: ``(N,)`` raw scores of the test images.
        labels: ``(N,)`` booleans or integers; nonzero is defective.
        calibration_scores: ``(M,)`` scores of normal images neither fitted nor tested, or None.
        ranks: `rank_positives` of the two, where known.
        candidates: Number of thresholds that ``f1_percentile`` and ``f1_uniform`` try.

    Raises:
        ValueError: A score is NaN, shapes or dtypes do not fit, or there are under two candidates.

    Example:
        >>> import torch
        >>> rules = every_threshold(torch.tensor([1.0, 2, 5, 6]), torch.tensor([0, 0, 1, 1]), None)
        >>> {rule.name: rule.value for rule in rules}["best_f1"]
        3.5
    """
    if candidates < 2:
        raise ValueError(f"wanted at least two candidate thresholds, found {candidates}")
    values, truth = matched(scores, labels)
    ranks = ranks or rank_positives(scores, labels)
    normal = values[~truth].sort().values
    percent = torch.tensor([100 * COVERAGE], dtype=torch.float64)
    value = float(_percentiles(normal, percent)[0]) if len(normal) else math.nan
    reason = "" if len(normal) else "no normal test image"
    about = "95th percentile of the normal test images' scores"
    return (
        *_by_labels(ranks, values.sort().values, normal, candidates),
        Threshold("normal_p95", value, True, about, reason),
        *_by_calibration(calibration_scores),
    )


def calibrated_threshold(calibration_scores: Tensor, coverage: float = COVERAGE) -> float:
    """Return the conformal quantile of normal scores that were neither fitted nor tested.

    That is the ⌈(n + 1) · coverage⌉-th smallest of n scores: a further normal image scores above
    it with a probability of at most 1 − coverage, on average over calibration splits (Vovk et al.
    2005; an interpolated percentile lets 18 % pass at n = 6). Too few scores for that give the
    largest; `false_alarm_bound` is the probability it stands for.

    Raises:
        ValueError: There are no scores, one is NaN, or the coverage is outside (0, 1).

    Example:
        >>> import torch
        >>> calibrated_threshold(torch.arange(1.0, 100)), calibrated_threshold(torch.arange(6.0))
        (95.0, 5.0)
    """
    scores = comparable(calibration_scores).flatten()
    if not len(scores) or bool(scores.isnan().any()) or not 0 < coverage < 1:
        raise ValueError(
            f"wanted a coverage in (0, 1) of scores without NaN, found {coverage} of "
            f"{len(scores)} scores, {int(scores.isnan().sum())} of them NaN"
        )
    return float(scores.sort().values[_conformal_rank(len(scores), coverage) - 1])


def false_alarm_bound(count: int) -> float:
    """Return the probability that a normal image scores above a threshold calibrated on others.

    Args:
        count: Number of calibration scores.

    Example:
        >>> round(false_alarm_bound(6), 3), round(false_alarm_bound(50), 3)
        (0.143, 0.039)
    """
    return (count + 1 - _conformal_rank(count, COVERAGE)) / (count + 1)


def _conformal_rank(count: int, coverage: float) -> int:
    # Rounded first: (n + 1) · 0.55 of n = 99 comes out a hair above 55.
    return min(count, math.ceil(round((count + 1) * coverage, 9)))


def _at_best_positive(
    rule: Callable[[Tensor, Ranks], Tensor], ranks: Ranks, values: Tensor
) -> float:
    """Return the threshold just below the positive that a rule rates highest."""
    # A best threshold is always at a positive's score: lowering it to the next positive only lets
    # negatives in. Flagging goes from the i-th positive up; of tied positives only the first counts
    # right, and the others are too low by as much, so the maximum ignores them.
    count = len(ranks.positives)
    rating = rule(torch.arange(count, 0, -1, device=ranks.below.device), ranks)
    rating[ranks.positives == -math.inf] = -1  # never above any threshold
    best = count - 1 - int(rating.flip(0).argmax())  # on a tie, the highest threshold
    if rule is _youden_j and rating[best] < 0:
        return float(values.max())  # flag nothing: J = 0
    return _just_below(ranks.positives[best], values)


def _f1(hits: Tensor, ranks: Ranks) -> Tensor:
    flagged = hits + ranks.negatives - ranks.below
    return 2 * hits.double() / (flagged + len(hits))


def _youden_j(hits: Tensor, ranks: Ranks) -> Tensor:
    """Return sensitivity + specificity − 1 (Youden 1950) in integers: TP·N − FP·P."""
    return hits * ranks.negatives - (ranks.negatives - ranks.below) * len(hits)


def _by_labels(ranks: Ranks, ascending: Tensor, normal: Tensor, candidates: int) -> list[Threshold]:
    """Return the four rules that need both classes; both scores ``(·,)`` ascending."""
    abouts = {
        "f1_percentile": f"highest F1 of {candidates} evenly spaced percentiles of the test scores",
        "f1_uniform": f"highest F1 of {candidates} evenly spaced values from the lowest to the "
        "highest finite test score",
        "best_f1": "highest F1 of all possible thresholds",
        "youden_j": "highest sensitivity + specificity − 1 of all possible thresholds",
    }
    if reason := one_class_reason(ranks.negatives, len(ranks.positives)):
        return [Threshold(name, math.nan, True, about, reason) for name, about in abouts.items()]
    percents = torch.linspace(0, 100, candidates, dtype=torch.float64)
    values = (
        _best_f1_of(_percentiles(ascending, percents), ranks.positives, normal),
        _best_f1_of(_uniform(ascending, candidates), ranks.positives, normal),
        _at_best_positive(_f1, ranks, ascending),
        _at_best_positive(_youden_j, ranks, ascending),
    )
    return [
        Threshold(name, value, True, about, "no finite score" if math.isnan(value) else "")
        for (name, about), value in zip(abouts.items(), values, strict=True)
    ]


def _best_f1_of(cuts: Tensor, positives: Tensor, normal: Tensor) -> float:
    """Return the cut of the highest F1, the highest on a tie; both scores ascending."""
    if not len(cuts):
        return math.nan
    hits = len(positives) - torch.searchsorted(positives, cuts, right=True)
    flagged = hits + len(normal) - torch.searchsorted(normal, cuts, right=True)
    f1 = 2 * hits.double() / (flagged + len(positives))
    return float(cuts[f1 == f1.max()].max())


def _uniform(ascending: Tensor, candidates: int) -> Tensor:
    finite = ascending[ascending.isfinite()].double()
    if not len(finite):
        return ascending[:0]
    share = torch.linspace(0, 1, candidates, dtype=torch.float64, device=ascending.device)
    # Weighted ends, because the range itself may overflow; the ends stay exact.
    return ((1 - share) * finite[0] + share * finite[-1]).to(ascending.dtype)


def _percentiles(ascending: Tensor, percents: Tensor) -> Tensor:
    """Return ``(K,)`` percentiles as NumPy's default; between −inf and +inf there is only +inf."""
    positions = percents.to(ascending.device, torch.float64) / 100 * (len(ascending) - 1)
    first = positions.floor().long()
    lower, upper = ascending[first].double(), ascending[positions.ceil().long()].double()
    weight = positions - first
    # Not lower + weight × (upper − lower): that is NaN between two equal infinities.
    between = (1 - weight) * lower + weight * upper
    between = torch.where(between.isnan(), upper, between)
    return torch.where((weight == 0) | (lower == upper), lower, between).to(ascending.dtype)


def _by_calibration(scores: Tensor | None) -> list[Threshold]:
    """Return the honest rules: ``calibrated_p95`` and ``sigma_3``."""
    quantile, sigma = math.nan, math.nan
    reason = sigma_reason = _NO_CALIBRATION
    if scores is not None and scores.numel():
        quantile, reason, sigma_reason = calibrated_threshold(scores), "", ""
        values = comparable(scores).double()
        if len(values) < 2:
            sigma_reason = "one calibration score has no spread"
        elif not bool(values.isfinite().all()):
            sigma_reason = "a calibration score is infinite"
        else:
            exact = values.mean() + 3 * values.std()
            sigma = float(exact.to(comparable(scores).dtype))
    about = "conformal 95 % quantile of the calibration split's scores"
    sigma_about = "mean + 3 standard deviations (n − 1) of the calibration split's scores"
    return [
        Threshold("calibrated_p95", quantile, False, about, reason),
        Threshold("sigma_3", sigma, False, sigma_about, sigma_reason),
    ]


def _just_below(value: Tensor, scores: Tensor) -> float:
    """Return a number t with t < value and no score in (t, value)."""
    lower = float(torch.where(scores < value, scores, -math.inf).max())
    if lower == -math.inf:
        return float(torch.nextafter(value, torch.full_like(value, -math.inf)))
    middle = float(torch.tensor(lower / 2 + float(value) / 2, dtype=scores.dtype))
    return middle if lower <= middle < float(value) else lower


def _ratio(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else float("nan")
