"""Intervals of any image-level figure by resampling the test images.

Images are drawn with replacement within each stratum, so every resample has as many normal and as
many defective images as the test set. A resample is how often each image was drawn: a row of
``(R, N)`` multiplicities. A statistic turns those into R values at once; `resampled` has them.

The interval is the percentile interval (Efron & Tibshirani 1993, ch. 13): it stays in the figure's
range and is the same on every monotone scale, but is somewhat narrow below about 30 images a
stratum. The draws depend on the seed and the strata alone.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

Statistic = Callable[[Tensor], Tensor]
"""Multiplicities ``(R, N)`` int64 to ``(R,)`` float64 values; all ones give the figure itself."""

REPLICATES = 2000
_CELLS = 1 << 22  # multiplicities held at once: 32 MiB


@dataclass(frozen=True)
class Interval:
    """A figure with its bootstrap interval.

    Attributes:
        value: The figure on the images themselves.
        low: Lower end; ``nan`` where there is no interval.
        high: Upper end; ``nan`` where there is no interval.
        reason: Why there is no interval, else empty.
    """

    value: float
    low: float
    high: float
    reason: str = ""


def bootstrap(
    statistic: Statistic,
    strata: Tensor,
    *,
    replicates: int = REPLICATES,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Bootstrap interval of a figure.

    For two models on the same images give the difference of their statistics: both see the same
    resamples, so the interval is the paired one.

    Args:
        statistic: The figure, of multiplicities.
        strata: ``(N,)`` integers or booleans: the stratum of each image, such as its label.
        replicates: How many resamples.
        confidence: Nominal coverage.
        seed: Of the draws.

    Raises:
        ValueError: There are no images or no replicates.
    """
    if not strata.numel() or replicates < 1:
        raise ValueError(
            f"wanted images and at least one resample, found {strata.numel()} images and "
            f"{replicates} resamples"
        )
    themselves = torch.ones(1, len(strata), dtype=torch.int64, device=strata.device)
    value = float(statistic(themselves)[0])
    if math.isnan(value):
        return Interval(value, math.nan, math.nan, "the figure itself does not exist")
    chunks = [statistic(drawn) for drawn in resamples(strata, replicates, seed)]
    values = torch.cat(chunks).double().cpu()
    if undefined := int(values.isnan().sum()):
        reason = f"{undefined} of {replicates} resamples have no such figure"
        return Interval(value, math.nan, math.nan, reason)
    # Summation order may change the last digits of equal values.
    if float(values.max() - values.min()) <= 1e-12 * abs(value):
        reason = "every resample gives the same value: these images show no spread"
        return Interval(value, math.nan, math.nan, reason)
    tail = (1 - confidence) / 2
    low, high = torch.quantile(values, torch.tensor([tail, 1 - tail], dtype=torch.float64))
    return Interval(value, float(low), float(high))


def resamples(strata: Tensor, replicates: int, seed: int) -> Iterator[Tensor]:
    """Multiplicities in chunks of ``(R, N)`` int64, on the strata's device.

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
            drawn = torch.randint(len(images), (rows, len(images)), generator=generator)
            counts.scatter_add_(1, images[drawn], torch.ones_like(drawn))
        yield counts.to(strata.device)
