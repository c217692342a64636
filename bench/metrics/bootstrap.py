"""Intervals of image metrics by resampling the test images.

Images are drawn with replacement within each stratum, so every resample has as many normal and as
many defective images as the test set. A resample is how often each image was drawn: a row of
``(R, N)`` multiplicities. A statistic turns those into R values at once, without a loop.

The interval is the percentile interval (Efron & Tibshirani 1993, ch. 13): it stays in the metric's
range and is the same on every monotone scale, but is somewhat narrow below about 30 images per
stratum. The draws depend on the seed and the strata alone.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.metrics.inputs import matched

Statistic = Callable[[Tensor], Tensor]
"""Multiplicities ``(R, N)`` int64 to ``(R,)`` float64 values; all ones give the metric itself."""

REPLICATES = 2000
CONFIDENCE = 0.95
"""Nominal coverage of the intervals."""

_SEED = 0
_CELLS = 1 << 22  # multiplicities held at once: 32 MiB


@dataclass(frozen=True)
class Interval:
    """A metric's value with its interval.

    Attributes:
        value: Value on the images themselves.
        low: Lower end; ``nan`` where there is no interval.
        high: Upper end; ``nan`` where there is no interval.
        reason: Why there is no interval, or which other kind it is; else empty.
    """

    value: float
    low: float
    high: float
    reason: str = ""


def bootstrap(statistic: Statistic, strata: Tensor, *, replicates: int = REPLICATES) -> Interval:
    """Return the 95 % bootstrap interval of a metric.

    For two models on the same images, pass the difference of their statistics: both see the same
    resamples, so the interval is the paired one.

    Args:
        statistic: The metric as a function of multiplicities.
        strata: ``(N,)`` integers or booleans: the stratum of each image, such as its label.
        replicates: Number of resamples.

    Raises:
        ValueError: There are no images or no replicates.

    Example:
        >>> right = torch.arange(100) < 80
        >>> interval = bootstrap(ratio_of(right, torch.ones(100)), torch.zeros(100))
        >>> interval.value, 0.65 < interval.low < 0.8 < interval.high < 0.95
        (0.8, True)
    """
    if not strata.numel() or replicates < 1:
        raise ValueError(
            f"wanted images and at least one resample, found {strata.numel()} images and "
            f"{replicates} resamples"
        )
    once = torch.ones(1, len(strata), dtype=torch.int64, device=strata.device)
    value = float(statistic(once)[0])
    if math.isnan(value):
        return Interval(value, math.nan, math.nan, "the metric itself is undefined")
    chunks = [statistic(drawn) for drawn in resamples(strata, replicates, _SEED)]
    values = torch.cat(chunks).double().cpu()
    if undefined := int(values.isnan().sum()):
        reason = f"{undefined} of {replicates} resamples leave it undefined"
        return Interval(value, math.nan, math.nan, reason)
    # Summation order may change the last digits of equal values.
    if float(values.max() - values.min()) <= 1e-12 * abs(value):
        reason = "every resample gives the same value: these images show no spread"
        return Interval(value, math.nan, math.nan, reason)
    tail = (1 - CONFIDENCE) / 2
    low, high = torch.quantile(values, torch.tensor([tail, 1 - tail], dtype=torch.float64))
    return Interval(value, float(low), float(high))


def resamples(strata: Tensor, replicates: int, seed: int) -> Iterator[Tensor]:
    """Yield multiplicities in chunks of ``(R, N)`` int64, on the strata's device.

    Drawn on the CPU, stratum by stratum, so that every device sees the same ones.
    """
    generator = torch.Generator().manual_seed(seed)
    on_host = strata.cpu()
    members = [(on_host == stratum).nonzero()[:, 0] for stratum in torch.unique(on_host)]
    chunk = max(1, _CELLS // len(strata))
    for start in range(0, replicates, chunk):
        rows = min(chunk, replicates - start)
        counts = torch.zeros(rows, len(strata), dtype=torch.int64)
        for images in members:
            # Draw positions within the stratum, then count how often each image came up.
            drawn = torch.randint(len(images), (rows, len(images)), generator=generator)
            counts.scatter_add_(1, images[drawn], torch.ones_like(drawn))
        yield counts.to(strata.device)


def ratio_of(numerators: Tensor, denominators: Tensor) -> Statistic:
    """Return the statistic Σ numerators / Σ denominators, such as F1 from 2 TP and 2 TP + FP + FN.

    Args:
        numerators: ``(N,)`` contributions of each image.
        denominators: ``(N,)``; a resample whose sum is 0 has no value (``nan``).

    Example:
        >>> statistic = ratio_of(torch.tensor([1, 0, 2]), torch.tensor([2, 1, 2]))
        >>> statistic(torch.tensor([[1, 1, 1], [0, 2, 1]])).tolist()
        [0.6, 0.5]
    """
    above, below = numerators.double(), denominators.double()

    def statistic(counts: Tensor) -> Tensor:
        counts = counts.double()
        return (counts @ above) / (counts @ below)

    return statistic


def average_precision_of_scores(scores: Tensor, labels: Tensor) -> Statistic:
    """Return the statistic of the image AP, exact; see `ranking.average_precision`.

    Args:
        scores: ``(N,)`` raw scores.
        labels: ``(N,)`` booleans or integers; nonzero is defective.

    Raises:
        ValueError: A score is NaN, or shapes or dtypes do not fit.

    Example:
        >>> scores, labels = torch.tensor([3.0, 2, 1]), torch.tensor([1, 0, 1])
        >>> statistic = average_precision_of_scores(scores, labels)
        >>> statistic(torch.tensor([[1, 1, 1], [1, 0, 2]])).tolist()
        [0.8333333333333333, 1.0]
    """
    above = _above_each_score(scores, labels)

    def statistic(counts: Tensor) -> Tensor:
        hits, flagged, _ = above(counts)
        steps = hits.diff(dim=1, prepend=hits.new_zeros(len(hits), 1))
        # Where nothing is flagged there is no hit: the step is 0.
        return (steps * hits / flagged.clamp(min=1)).sum(1) / hits[:, -1]

    return statistic


def auroc_of_scores(scores: Tensor, labels: Tensor) -> Statistic:
    """Return the statistic of the image AUROC, ties halved; see `ranking.auroc`.

    Args:
        scores: ``(N,)`` raw scores.
        labels: ``(N,)`` booleans or integers; nonzero is defective.

    Raises:
        ValueError: A score is NaN, or shapes or dtypes do not fit.

    Example:
        >>> scores, labels = torch.tensor([3.0, 2, 1]), torch.tensor([1, 0, 1])
        >>> auroc_of_scores(scores, labels)(torch.tensor([[1, 1, 1], [3, 1, 1]])).tolist()
        [0.5, 0.75]
    """
    above = _above_each_score(scores, labels)

    def statistic(counts: Tensor) -> Tensor:
        hits, flagged, _ = above(counts)
        normal = flagged - hits
        zero = hits.new_zeros(len(hits), 1)
        # Normal images of one score, times the defective ones above it and half of those at it.
        won = normal.diff(dim=1, prepend=zero) * (hits - hits.diff(dim=1, prepend=zero) / 2)
        return won.sum(1) / (hits[:, -1] * normal[:, -1])

    return statistic


def best_f1_of_scores(scores: Tensor, labels: Tensor) -> Statistic:
    """Return the statistic of the highest F1: each resample chooses its own threshold.

    Args:
        scores: ``(N,)`` raw scores; −inf is never above a threshold.
        labels: ``(N,)`` booleans or integers; nonzero is defective.

    Raises:
        ValueError: A score is NaN, or shapes or dtypes do not fit.
    """
    above = _above_each_score(scores, labels)

    def statistic(counts: Tensor) -> Tensor:
        hits, flagged, finite = above(counts)
        f1 = 2 * hits / (flagged + hits[:, -1:])
        return torch.where(finite, f1, 0.0).amax(1).where(hits[:, -1] > 0, torch.nan)

    return statistic


def _above_each_score(
    scores: Tensor, labels: Tensor
) -> Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]:
    """Return a function of multiplicities ``(R, N)`` that counts images at or above each score.

    It gives the defective and all images, both ``(R, K)`` float64 by descending distinct score, and
    ``(K,)`` whether the score is above −inf.
    """
    values, truth = matched(scores, labels)
    if bool(values.isnan().any()):
        raise ValueError("a score is NaN, which has no rank: the model's prediction is broken")
    distinct, place = torch.unique(values, return_inverse=True)
    place = len(distinct) - 1 - place  # column of each image, the highest score first

    def above(counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        zeros = torch.zeros(len(counts), len(distinct), dtype=torch.int64, device=counts.device)
        hits = zeros.index_add(1, place[truth], counts[:, truth]).cumsum(1)
        flagged = zeros.index_add(1, place, counts).cumsum(1)
        return hits.double(), flagged.double(), distinct.flip(0) > -torch.inf

    return above
