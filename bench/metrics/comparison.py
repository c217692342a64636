"""Two runs on the same test images: their figures, the difference, and whether it is one.

A run is one trained model. What is tested is whether these two models differ on more such images;
whether their recipes do is a question of seeds, which the leaderboard answers.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.metrics.bootstrap import REPLICATES, Interval, Statistic, bootstrap
from bench.metrics.delong import auroc_interval, auroc_test
from bench.metrics.mcnemar import mcnemar_test
from bench.metrics.paired_shares import paired_difference
from bench.metrics.resampled import (
    average_precision_of_scores,
    best_f1_of_scores,
    ratio_of,
)
from bench.metrics.wilson import wilson_interval

SIGNIFICANT = 0.05
BOOTSTRAPPED = ("image_ap", "f1_best", "f1")
"""Image figures of anomaly detection whose interval comes from resampling."""


@dataclass(frozen=True)
class Figure:
    """A run's figure and its 95 % interval over images; the ends are ``nan`` where there is none.

    Attributes:
        reason: Why there is no interval, or which other one it is; else empty.
    """

    value: float
    low: float
    high: float
    reason: str = ""


@dataclass(frozen=True)
class Comparison:
    """Two runs compared.

    Attributes:
        figure: Name of what is compared; higher is better.
        first: Of the first run.
        second: Of the second run.
        difference: Second minus first, with its paired interval.
        p: Two-sided, of no difference; ``nan`` where the method has none.
        method: How intervals and p come about.
    """

    figure: str
    first: Figure
    second: Figure
    difference: Figure
    p: float
    method: str

    @property
    def verdict(self) -> str:
        """In words: by p, or without one by whether the interval holds 0."""
        by_p = not math.isnan(self.p)
        if not by_p and math.isnan(self.difference.low):
            return f"Nothing can be said: {self.difference.reason}."
        apart = self.p < SIGNIFICANT if by_p else self.difference.low * self.difference.high > 0
        if not apart:
            return "No difference is shown: these images could give it to equal models by chance."
        better = "second" if self.difference.value > 0 else "first"
        return f"The {better} is better on such images, by more than chance would do."


def compare_classifiers(first_right: Tensor, second_right: Tensor) -> Comparison:
    """Compare top-1 of two classifiers.

    Args:
        first_right: ``(N,)`` booleans: whether the first model is right.
        second_right: ``(N,)`` booleans of the same images in the same order.

    Raises:
        ValueError: They are not booleans of one shape, or there are none.
    """
    images = len(first_right)
    test = mcnemar_test(first_right, second_right)
    first, second = int(first_right.sum()), int(second_right.sum())
    ends = paired_difference(test.only_first, test.only_second, images)
    return Comparison(
        "top1",
        Figure(first / images, *wilson_interval(first, images)),
        Figure(second / images, *wilson_interval(second, images)),
        Figure((test.only_second - test.only_first) / images, *ends),
        test.p,
        f"McNemar's test ({test.method}): only the first is right on {test.only_first} images, "
        f"only the second on {test.only_second}; Wilson's interval of each, Bonett and Price's "
        "of the difference",
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
    test = auroc_test(first, second, labels)
    one, other = (
        Figure(found.auroc, found.low, found.high, found.reason)
        for found in (auroc_interval(first, labels), auroc_interval(second, labels))
    )
    return Comparison(
        "image_auroc",
        one,
        other,
        Figure(test.difference, test.low, test.high, test.reason),
        test.p,
        "DeLong's paired test; DeLong's intervals",
    )


def compare_resampled(
    figure: str,
    first: Tensor,
    second: Tensor,
    labels: Tensor,
    thresholds: tuple[float, float] = (math.nan, math.nan),
) -> Comparison:
    """Compare one of `BOOTSTRAPPED` by resampling the images, normal and defective apart.

    Args:
        figure: Its name.
        first: ``(N,)`` raw scores of one model.
        second: ``(N,)`` raw scores of the other, of the same images in the same order.
        labels: ``(N,)`` booleans or integers; nonzero is defective.
        thresholds: Of the two models; ``f1`` is at them, as they are, in every resample.

    Raises:
        ValueError: A score is NaN, or shapes or dtypes do not fit.
    """
    truth = labels != 0
    one, other = (
        _statistic(figure, scores, truth, threshold)
        for scores, threshold in zip((first, second), thresholds, strict=True)
    )
    first_figure, second_figure, difference = (
        _figure(bootstrap(statistic, truth))
        for statistic in (one, other, lambda counts: other(counts) - one(counts))
    )
    method = f"paired bootstrap of {REPLICATES:,} resamples, normal and defective images apart"
    return Comparison(figure, first_figure, second_figure, difference, math.nan, method)


def _statistic(figure: str, scores: Tensor, truth: Tensor, threshold: float) -> Statistic:
    if figure == "image_ap":
        return average_precision_of_scores(scores, truth)
    if figure == "f1_best":
        return best_f1_of_scores(scores, truth)
    flagged = scores > torch.tensor(threshold, dtype=scores.dtype)
    return ratio_of(2.0 * (flagged & truth), flagged.double() + truth.double())


def _figure(found: Interval) -> Figure:
    return Figure(found.value, found.low, found.high, found.reason)
