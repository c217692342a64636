"""Figures as functions of how often each image counts, for `bootstrap`.

Each function here takes what is known of every image and returns a statistic: multiplicities
``(R, N)`` int64 to ``(R,)`` float64. Pixel figures need no pixels, only sums by image: `ratio_of`
for IoU or F1 at a threshold, `auroc_of_histograms` for the pixel AUROC.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from bench.metrics.bootstrap import Statistic
from bench.metrics.ranking import matched


def mean_of(values: Tensor) -> Statistic:
    """Mean over images: top-1 from ``right.double()``, or AUPIMO from its value by image.

    Args:
        values: ``(N,)``; a ``nan`` is an image without the figure and is left out.
    """
    exists = ~values.isnan()
    return ratio_of(torch.where(exists, values, 0.0), exists)


def ratio_of(numerators: Tensor, denominators: Tensor) -> Statistic:
    """Sum over sum: F1 from 2 TP and 2 TP + FP + FN by image, IoU from intersection and union.

    Args:
        numerators: ``(N,)``.
        denominators: ``(N,)``; a resample whose sum is 0 has no value (``nan``).
    """
    above, below = numerators.double(), denominators.double()

    def statistic(counts: Tensor) -> Tensor:
        counts = counts.double()
        return (counts @ above) / (counts @ below)

    return statistic


def auroc_of_scores(scores: Tensor, labels: Tensor) -> Statistic:
    """The image AUROC, exact: one sort in all, then counts along the distinct scores.

    Args:
        scores: ``(N,)`` raw scores.
        labels: ``(N,)`` booleans or integers; nonzero is defective.

    Raises:
        ValueError: A score is NaN, or shapes or dtypes do not fit.
    """
    values, truth = _ranked(scores, labels)
    distinct, place = torch.unique(values, return_inverse=True)

    def statistic(counts: Tensor) -> Tensor:
        def along(chosen: Tensor) -> Tensor:
            total = torch.zeros(len(counts), len(distinct), dtype=torch.int64, device=counts.device)
            return total.index_add_(1, place[chosen], counts[:, chosen])

        return _auroc(along(~truth), along(truth))

    return statistic


def average_precision_of_scores(scores: Tensor, labels: Tensor) -> Statistic:
    """The image AP, step definition, exact.

    Args:
        scores: ``(N,)`` raw scores.
        labels: ``(N,)`` booleans or integers; nonzero is defective.

    Raises:
        ValueError: A score is NaN, or shapes or dtypes do not fit.
    """
    above = _above_each_score(scores, labels)

    def statistic(counts: Tensor) -> Tensor:
        found, flagged, _ = above(counts)
        steps = found.diff(dim=1, prepend=found.new_zeros(len(found), 1))
        # Nothing flagged has found nothing: its step is 0.
        return (steps * found / flagged.clamp(min=1)).sum(1) / found[:, -1]

    return statistic


def best_f1_of_scores(scores: Tensor, labels: Tensor) -> Statistic:
    """The highest F1 of any threshold: each resample chooses its own, as the figure does.

    Args:
        scores: ``(N,)`` raw scores; −inf is never above a threshold.
        labels: ``(N,)`` booleans or integers; nonzero is defective.

    Raises:
        ValueError: A score is NaN, or shapes or dtypes do not fit.
    """
    above = _above_each_score(scores, labels)

    def statistic(counts: Tensor) -> Tensor:
        found, flagged, finite = above(counts)
        f1 = 2 * found / (flagged + found[:, -1:])
        return torch.where(finite, f1, 0.0).amax(1).where(found[:, -1] > 0, torch.nan)

    return statistic


def auroc_of_histograms(normal: Tensor, defective: Tensor) -> Statistic:
    """The AUROC over the pooled pixels, as fine as the bins: pixels of one bin are tied.

    It differs from the exact one by at most half the share of pairs that fall into one bin.

    Args:
        normal: ``(N, K)`` counts of each image's normal pixels by score, ascending.
        defective: ``(N, K)`` counts of its defective pixels.
    """
    # float64 products: exact counts below 2⁵³, and there is no integer matmul on CUDA.
    normal, defective = normal.double(), defective.double()

    def statistic(counts: Tensor) -> Tensor:
        counts = counts.double()
        return _auroc(counts @ normal, counts @ defective)

    return statistic


def pixel_histograms(maps: Tensor, masks: Tensor, bins: int = 1000) -> tuple[Tensor, Tensor]:
    """Each image's pixels counted between quantiles of all of them.

    Args:
        maps: ``(N, H, W)`` raw scores.
        masks: ``(N, H, W)`` booleans or integers; nonzero is defective.
        bins: K, most of them; equal quantiles merge.

    Returns:
        ``(N, K)`` int64 of normal pixels and of defective pixels.

    Raises:
        ValueError: A score is NaN, or shapes or dtypes do not fit.
    """
    values, truth = _ranked(maps, masks)
    ascending = values.sort().values
    inner = torch.linspace(0, len(values) - 1, bins + 1, device=values.device)[1:-1].long()
    edges = torch.unique(ascending[inner])
    images, width = len(maps), len(edges) + 1
    owner = torch.arange(images, device=values.device).repeat_interleave(maps[0].numel())
    place = owner * width + torch.bucketize(values, edges)

    def count(chosen: Tensor) -> Tensor:
        return torch.bincount(place[chosen], minlength=images * width).view(images, width)

    return count(~truth), count(truth)


def _above_each_score(
    scores: Tensor, labels: Tensor
) -> Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]:
    """Gives, of multiplicities ``(R, N)``, what lies at or above each of K distinct scores.

    The defective and all images, both ``(R, K)`` float64 by descending score, and ``(K,)`` whether
    the score is above −inf.
    """
    values, truth = _ranked(scores, labels)
    distinct, place = torch.unique(values, return_inverse=True)
    place = len(distinct) - 1 - place

    def above(counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        zeros = torch.zeros(len(counts), len(distinct), dtype=torch.int64, device=counts.device)
        found = zeros.index_add(1, place[truth], counts[:, truth]).cumsum(1)
        flagged = zeros.index_add(1, place, counts).cumsum(1)
        return found.double(), flagged.double(), distinct.flip(0) > -torch.inf

    return above


def _ranked(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Both of them flat, where every score has a rank."""
    values, truth = matched(scores, labels)
    if bool(values.isnan().any()):
        raise ValueError("a score is NaN, which has no rank: the model's prediction is broken")
    return values, truth


def _auroc(normal: Tensor, defective: Tensor) -> Tensor:
    """``(R,)`` AUROC of counts ``(R, K)`` by ascending score; ``nan`` where a class is missing."""
    below = normal.cumsum(1) - normal
    half_wins = (defective * (2 * below + normal)).sum(1)
    return half_wins / (2 * normal.sum(1) * defective.sum(1)).double()
