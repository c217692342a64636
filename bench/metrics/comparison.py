"""Compare two runs on the same test images: values, difference, and whether it is significant.

A run is one trained model. What is tested is whether these two models differ on more such images;
whether their recipes do is a question of seeds, which the leaderboard answers.
"""

import math
from dataclasses import dataclass

import torch
from scipy.special import stdtr, stdtrit
from torch import Tensor

from bench.metrics.bootstrap import (
    REPLICATES,
    Interval,
    Statistic,
    average_precision_of_scores,
    best_f1_of_scores,
    bootstrap,
    ratio_of,
)
from bench.metrics.delong import auroc_interval, auroc_test, logit_interval
from bench.metrics.paired import mcnemar, paired_difference, wilson_interval
from bench.metrics.pixel_jackknife import LeftOut

SIGNIFICANT = 0.05
BOOTSTRAPPED = ("image_ap", "f1_best", "f1")
"""Image metrics of anomaly detection whose interval comes from resampling."""


@dataclass(frozen=True)
class Comparison:
    """A comparison of two runs.

    Attributes:
        metric: Name of the metric; higher is better.
        first: Value of the first run and its 95 % interval over images.
        second: The same of the second run.
        difference: Second minus first, with its paired interval.
        p: Two-sided p of no difference; ``nan`` where the method has none.
        method: How intervals and p are computed.
    """

    metric: str
    first: Interval
    second: Interval
    difference: Interval
    p: float
    method: str

    @property
    def verdict(self) -> str:
        """The conclusion: by p, or without one by whether the interval holds 0."""
        by_p = not math.isnan(self.p)
        if not by_p and math.isnan(self.difference.low):
            return f"Nothing can be said: {self.difference.reason}."
        apart = self.p < SIGNIFICANT if by_p else self.difference.low * self.difference.high > 0
        if not apart:
            return "No difference is shown: equal models could differ this much by chance."
        better = "second" if self.difference.value > 0 else "first"
        return f"The {better} is better on such images, by more than chance explains."


def compare_classifiers(first_right: Tensor, second_right: Tensor) -> Comparison:
    """Compare top-1 of two classifiers.

    Args:
        first_right: ``(N,)`` booleans: whether the first model is right.
        second_right: ``(N,)`` booleans of the same images in the same order.

    Raises:
        ValueError: They are not booleans of one shape, or there are none.

    Example:
        >>> first, second = torch.arange(100) < 80, torch.arange(100) < 90
        >>> comparison = compare_classifiers(first, second)
        >>> comparison.difference.value, round(comparison.p, 5)
        (0.1, 0.00195)
    """
    if not first_right.dtype == second_right.dtype == torch.bool or (
        first_right.shape != second_right.shape
    ):
        raise ValueError(
            "wanted two boolean tensors of one shape, true where the model is right, found "
            f"{first_right.dtype} {tuple(first_right.shape)} and "
            f"{second_right.dtype} {tuple(second_right.shape)}"
        )
    second_right = second_right.to(first_right.device)
    images = len(first_right)
    first, second = int(first_right.sum()), int(second_right.sum())
    both = int((first_right & second_right).sum())
    only_first, only_second = first - both, second - both
    ends = paired_difference(only_first, only_second, images)
    return Comparison(
        "top1",
        Interval(first / images, *wilson_interval(first, images)),
        Interval(second / images, *wilson_interval(second, images)),
        Interval((only_second - only_first) / images, *ends),
        mcnemar(only_first, only_second),
        f"McNemar's exact test: only the first is right on {only_first} images, only the second "
        f"on {only_second}; Wilson's interval of each, Bonett and Price's of the difference",
    )


def compare_aurocs(first: Tensor, second: Tensor, labels: Tensor) -> Comparison:
    """Compare the image AUROC of two anomaly detectors.

    Args:
        first: ``(N,)`` raw scores of one model.
        second: ``(N,)`` raw scores of the other, of the same images in the same order.
        labels: ``(N,)`` booleans or integers; nonzero is defective.

    Raises:
        ValueError: A score is NaN, or shapes or dtypes do not fit.
    """
    return Comparison(
        "image_auroc",
        auroc_interval(first, labels),
        auroc_interval(second, labels),
        *auroc_test(first, second, labels),
        "DeLong's paired test; DeLong's intervals",
    )


def compare_resampled(
    metric: str,
    first: Tensor,
    second: Tensor,
    labels: Tensor,
    thresholds: tuple[float, float] = (math.nan, math.nan),
) -> Comparison:
    """Compare one of `BOOTSTRAPPED` by resampling the images, normal and defective separately.

    Args:
        metric: Its name.
        first: ``(N,)`` raw scores of one model.
        second: ``(N,)`` raw scores of the other, of the same images in the same order.
        labels: ``(N,)`` booleans or integers; nonzero is defective.
        thresholds: The two models' thresholds; ``f1`` is at them, unchanged, in every resample.

    Raises:
        ValueError: A score is NaN, or shapes or dtypes do not fit.
    """
    truth = labels != 0
    a, b = (
        _statistic(metric, scores, truth, threshold)
        for scores, threshold in zip((first, second), thresholds, strict=True)
    )
    intervals = (
        bootstrap(a, truth),
        bootstrap(b, truth),
        bootstrap(lambda counts: b(counts) - a(counts), truth),
    )
    method = f"paired bootstrap of {REPLICATES:,} resamples, normal and defective images separately"
    return Comparison(metric, *intervals, math.nan, method)


def compare_jackknifed(metric: str, first: LeftOut, second: LeftOut) -> Comparison:
    """Compare a pixel metric of two models by leaving each image out of both.

    Args:
        metric: Its name.
        first: The metric of one model with and without each image.
        second: That of the other model, of the same images in the same order.
    """
    apart = second.minus(first)
    error, freedom = apart.spread()
    if error > 0:
        reach = float(stdtrit(freedom, 1 - SIGNIFICANT / 2)) * error
        difference = Interval(apart.value, apart.value - reach, apart.value + reach)
        p = 2 * float(stdtr(freedom, -abs(apart.value) / error))
    elif apart.value == 0:
        difference, p = Interval(0.0, 0.0, 0.0, "both models rank the pixels the same"), 1.0
    else:
        reason = "leaving any image out changes both alike: the difference has no spread"
        difference, p = Interval(apart.value, math.nan, math.nan, reason), math.nan
    return Comparison(
        metric,
        _own_interval(first),
        _own_interval(second),
        difference,
        p,
        "a paired jackknife over images, from the maps that the runs kept in 16 bits",
    )


def _own_interval(found: LeftOut) -> Interval:
    error, _ = found.spread()
    if not 0 < found.value < 1 or not error:
        return Interval(found.value, math.nan, math.nan, "no image changes it: no spread is known")
    return logit_interval(found.value, error)


def _statistic(metric: str, scores: Tensor, truth: Tensor, threshold: float) -> Statistic:
    if metric == "image_ap":
        return average_precision_of_scores(scores, truth)
    if metric == "f1_best":
        return best_f1_of_scores(scores, truth)
    flagged = scores > torch.tensor(threshold, dtype=scores.dtype)
    return ratio_of(2.0 * (flagged & truth), flagged.double() + truth.double())
